"""Images in, batches out. Never imports mlflow."""
