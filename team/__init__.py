"""A tracking server for several people, on loopback: PostgreSQL, `mlflow server`, basic auth. See docs/how-to/team.md."""
