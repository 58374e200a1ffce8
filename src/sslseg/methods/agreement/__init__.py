"""Views of one slice agree, or tell one slice from another."""
