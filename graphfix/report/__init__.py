"""Reports: text for the terminal, Markdown, JSON."""
