"""Networks in the names and formats of other libraries."""
