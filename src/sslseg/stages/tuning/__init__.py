"""The trials of a tuning, and the pictures of one."""
