"""Which slices to annotate next, and what annotated ones are worth without training."""
