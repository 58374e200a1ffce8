"""What missing runs will cost, and what they will be able to decide."""
