"""Statistics of a prompt's logs, and logs side by side."""
