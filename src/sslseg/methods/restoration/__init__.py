"""A U-Net gives back what was taken from a slice, and hands on its decoder too."""
