"""Gunicorn's configuration for the raw ceiling: `gunicorn -c bench/bare_gunicorn.py bench.bare:app`."""

import os
from typing import Any

from bench import bare

bind = f"127.0.0.1:{os.environ['PORT']}"
workers = 2
worker_class = os.environ.get("BARE_WORKER_CLASS", "sync")
threads = 4 if worker_class == "gthread" else 1
loglevel = "warning"
control_socket_disable = True
preload_app = True


def on_starting(server: Any) -> None:
    """Create the table before workers start, which would otherwise all try to create it."""
    bare.prepare()
