"""HTML pages for the browser."""
