"""All that talks to MLflow. Never imports torch."""
