"""Statistics of the logs of a prompt or a workspace."""
