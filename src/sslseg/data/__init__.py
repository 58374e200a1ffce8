"""Floor 1b: images in, batches out. Never imports mlflow."""
