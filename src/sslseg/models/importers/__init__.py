"""Encoders out of other people's checkpoints."""
