"""One module a file format, read with suspicion."""
