"""Statistics of a prompt's logs, and the comparison of logs side by side."""
