"""What is to be run, before anything runs."""
