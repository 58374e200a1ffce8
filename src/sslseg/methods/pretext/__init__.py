"""A puzzle is made of a slice, and the encoder learns to solve it."""
