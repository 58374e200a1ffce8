"""One reading of the store, then figures, tables and one HTML page from it."""
