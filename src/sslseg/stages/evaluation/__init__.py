"""What an evaluation leaves: tables, figures, a page."""
