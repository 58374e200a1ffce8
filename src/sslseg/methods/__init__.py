"""One file a self-supervised method; the file name is the method's name. See docs/how-to/extending.md."""
