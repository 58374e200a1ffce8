"""Which of two pipelines is better, how stable both are, and what would decide it."""
