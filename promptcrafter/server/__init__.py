"""The server process: Gunicorn's worker and hooks, logging, metrics and the status routes."""
