"""What is wrong with a store, whom damaged data have misled, and which encoders can go."""
