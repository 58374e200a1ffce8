"""The slice store: volumes resampled once, mapped into memory by every later stage."""
