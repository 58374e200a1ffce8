"""Reading of the tracking store: statistics, figures, decisions and the page they make."""
