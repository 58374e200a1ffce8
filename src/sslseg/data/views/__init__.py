"""Random views, drawn first and applied afterwards."""
