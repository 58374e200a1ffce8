"""What stages leave behind: encoders with their cards, curves, overlays, and the words at the end."""
