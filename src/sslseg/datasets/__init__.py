"""One file a dataset; the file name is the dataset's name. See docs/how-to/extending.md for the contract."""
