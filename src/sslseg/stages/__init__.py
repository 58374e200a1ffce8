"""The only place where machine learning and tracking meet."""
