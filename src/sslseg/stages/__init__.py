"""Floor 2: the only place where machine learning and tracking meet."""
