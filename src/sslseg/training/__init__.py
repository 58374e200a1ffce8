"""Floor 1b: losses, optimisers and loops that yield metrics. Never imports mlflow."""
