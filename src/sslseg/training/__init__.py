"""Losses, optimisers and loops that yield metrics. Never imports mlflow."""
