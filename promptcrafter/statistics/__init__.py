"""Statistics of the logs of a prompt or a workspace, and the comparison of logs side by side."""
