"""What a segmentation is worth: pixels, slices, volumes, surfaces, ejection fractions."""
