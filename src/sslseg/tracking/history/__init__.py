"""The tracking store as data frames."""
