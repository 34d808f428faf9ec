"""When the counters of `maintenance/usage_counters.py` are prepared: in a thread of each worker.

With a limit it goes on looking now and then: a migration of a running service drops the counters. Without one it looks
once, and ends as soon as nothing is counted.
"""

import logging
from threading import Event, Thread

from flask import Flask
from sqlalchemy.exc import DBAPIError, TimeoutError

from promptcrafter.http.error_handlers import describe_obstacle
from promptcrafter.maintenance import usage_counters
from promptcrafter.problems import Problem
from promptcrafter.workspaces import quota

_EVERY_S = 60
_RETRY_S = 10  # while another process prepares them, or the database cannot be used

_log = logging.getLogger(__name__)


def start(app: Flask) -> None:
    """Prepare the counters in a thread of this process. Call it in a worker."""
    Thread(target=_run, args=(app,), name="usage-counting", daemon=True).start()


def _run(app: Flask) -> None:
    pause = Event()
    while True:
        with app.app_context():
            is_done = _try()
            if is_done and quota.limit() is None:
                return
        pause.wait(_EVERY_S if is_done else _RETRY_S)


def _try() -> bool:
    """Prepare the counters, and return whether that is done."""
    try:
        return usage_counters.prepare()
    except (DBAPIError, TimeoutError, OSError, Problem) as error:
        if quota.limit() is not None:
            _log.warning("counting what workspaces store waits: %s", describe_obstacle(error))
        return False
