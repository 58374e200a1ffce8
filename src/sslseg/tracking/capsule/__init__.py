"""A study in one file: packed, published, unpacked."""
