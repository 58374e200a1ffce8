"""Which runs are compared, and the records of what a researcher has to decide."""
