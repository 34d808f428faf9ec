"""How Gunicorn serves the application: `gunicorn -c gunicorn.conf.py wsgi:app`."""

import gc
import socket
import struct
from typing import Any

import gunicorn.glogging
import gunicorn.util

gc.disable()  # what is loaded stays: to look for garbage in it, again and again, takes a tenth of a start

from config import Config
from promptcrafter.database import sqlite
from promptcrafter.database.session import get_engine, sqlite_path
from promptcrafter.logs import token_costs
from promptcrafter.server import gunicorn_errors, memory, metrics
from promptcrafter.server.logging import logging_config
from promptcrafter.server.worker import InlineWorker

gc.freeze()
gc.enable()

_config = Config.from_env_or_exit()
_SEND_TIMEOUT_S = 60

bind = f"[{_config.host}]:{_config.port}" if ":" in _config.host else f"{_config.host}:{_config.port}"
workers = _config.web_concurrency
threads = _config.web_threads
# a statement of PostgreSQL's waits for its answer, and other threads may use that time
worker_class = InlineWorker if _config.database_url.startswith("sqlite") else "gthread"
preload_app = True  # one copy of the code for all workers, and a bad setting stops the start instead of a loop
timeout = 60
graceful_timeout = 10
keepalive = 5
forwarder_headers = ""
forwarded_allow_ips = ""  # X-Forwarded-* is TRUSTED_PROXIES' business alone
limit_request_line = 8190  # 500 characters of a search take up to 6,000 bytes in a URL
control_socket_disable = True
logconfig_dict = logging_config(_config.log_format)


class logger_class(gunicorn.glogging.Logger):  # type: ignore[misc]  # noqa: N801 - Gunicorn's name
    """Gunicorn's own lines; the one line of each request is written by `promptcrafter.server.logging`."""

    access_log_enabled = False


gunicorn.util.write_error = gunicorn_errors.write_error
if _config.metrics:
    metrics.share()


def on_starting(server: Any) -> None:
    """Count the service among those who have the database open, and bound its memory; its workers inherit both."""
    memory.return_large_blocks()
    with server.app.callable.app_context():
        path = sqlite_path()
    if path is not None:
        try:
            sqlite.acquire_shared_lock(path)
        except sqlite.Restoring as error:
            raise RuntimeError("A restore of the database is under way. Start again when it is done.") from error


def when_ready(server: Any) -> None:
    """Load what the workers share, bound a silent client's hold on a thread, and say where the service is."""
    with server.app.callable.app_context():
        token_costs.load()
    gc.freeze()  # no worker goes through it all again: memory stays shared, and a worker ends ten times as fast
    for listener in server.LISTENERS:  # connections inherit it from the socket that accepts them
        for option, seconds in ((socket.SO_RCVTIMEO, _config.client_timeout_s), (socket.SO_SNDTIMEO, _SEND_TIMEOUT_S)):
            listener.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", seconds, 0))
    url = f"http://{'127.0.0.1' if _config.host == '0.0.0.0' else _config.host}:{_config.port}"  # noqa: S104
    server.log.info("PromptCrafter is at %s - try %s/docs, or the five requests of README.md", url, url)


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker a place to count in."""
    worker.place = metrics.reserve_place({other.place for other in server.WORKERS.values()})


def post_fork(server: Any, worker: Any) -> None:
    """Let each worker open its own connections and count for itself; what the parent has is not its to use."""
    metrics.take_place(worker.place)
    with worker.app.callable.app_context():
        get_engine().dispose(close=False)


def child_exit(server: Any, worker: Any) -> None:
    """Clear the place of a worker that is gone."""
    metrics.leave_place(worker.place)


def on_exit(server: Any) -> None:
    """Leave nothing behind."""
    metrics.unshare()
