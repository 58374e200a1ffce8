"""Vocabulary, knobs and their readings, plug-ins by name. Standard library only."""
