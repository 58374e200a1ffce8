"""What a stage takes in, and the gate against leaks."""
