"""Floor 1b: networks, and the folders they are kept in. Never imports mlflow."""
