"""What a training leaves behind: cards, curves, tables, overlays."""
