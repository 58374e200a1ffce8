"""Networks, and the folders they are kept in. Never imports mlflow."""
