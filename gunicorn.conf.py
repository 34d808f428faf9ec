"""How Gunicorn serves the application: `gunicorn -c gunicorn.conf.py wsgi:app`."""

import gc
import os
import socket
import struct
from typing import Any

import gunicorn.glogging
import gunicorn.util

gc.disable()  # loaded code is never garbage, and collecting takes a tenth of the startup time

from config import Config, ConfigError, describe_misspelt, format_address
from promptcrafter.database import checkpoints, sqlite
from promptcrafter.database.session import get_engine, sqlite_path
from promptcrafter.http import cors
from promptcrafter.logs import token_costs
from promptcrafter.server import aggregator, gunicorn_errors, memory, metrics, purger, startup, usage_counting
from promptcrafter.server.logging import logging_config
from promptcrafter.server.worker import choose_worker

gc.freeze()
gc.enable()

try:
    _config = Config.from_env()
    _database_obstacle = startup.check(_config)
    metrics.share(_config)
except ConfigError as error:
    raise SystemExit(str(error)) from None
_SEND_TIMEOUT_S = 60
_CLOSE_LOG_S = 5  # platforms kill a service some seconds after they have asked it to stop

bind = format_address(_config.host, _config.port)
workers = _config.web_concurrency
threads = _config.web_threads
worker_class = choose_worker(_config)
preload_app = True  # workers share the memory of the code, and an invalid setting stops the start with one message
timeout = 60
graceful_timeout = 10
keepalive = 5
forwarder_headers = ""
forwarded_allow_ips = ""  # only TRUSTED_PROXIES decides about X-Forwarded-*
limit_request_line = 8190  # 500 characters of a search take up to 6,000 bytes in a URL
control_socket_disable = True
logconfig_dict = logging_config(_config.log_format)


class logger_class(gunicorn.glogging.Logger):  # type: ignore[misc]  # noqa: N801 - Gunicorn's name
    """Gunicorn's logger without access lines: `promptcrafter.server.logging` writes one line for each request."""

    access_log_enabled = False


gunicorn.util.write_error = gunicorn_errors.make_write_error(cors.headers_without_request(_config))


def on_starting(server: Any) -> None:
    """Configure malloc, take the shared lock of the SQLite file, and check it; the workers inherit the first two."""
    memory.return_large_blocks()
    with server.app.callable.app_context():
        path = sqlite_path()
    if path is not None:
        try:
            sqlite.hold_open(path)
        except sqlite.Restoring as error:
            raise RuntimeError("A restore of the database is under way. Start again when it is done.") from error
        with server.app.callable.app_context():  # whose settings say what is indexed
            startup.check_search_after_unclean_stop(path)


def when_ready(server: Any) -> None:
    """Load what the workers share, set the timeouts of connections, and log the start.

    The log has misspelt settings, why the database cannot be used, and the address.
    """
    with server.app.callable.app_context():
        token_costs.load()
    gc.freeze()  # workers do not traverse it: their memory stays shared, and they exit ten times as fast
    if _config.worker == "gthread":
        for listener in server.LISTENERS:  # connections inherit the options of the listening socket
            for option, seconds in (
                (socket.SO_RCVTIMEO, _config.client_timeout_s),
                (socket.SO_SNDTIMEO, _SEND_TIMEOUT_S),
            ):
                listener.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", seconds, 0))
    for line in describe_misspelt():
        server.log.warning("%s", line)
    if _database_obstacle is not None:
        server.log.warning("%s", _database_obstacle)
    message = "PromptCrafter is at %s - open it in a browser, or try the five requests of README.md"
    server.log.info(message, _config.own_url)


def pre_fork(server: Any, worker: Any) -> None:
    """Reserve the worker's slot for metrics."""
    worker.slot = metrics.reserve_slot({other.slot for other in server.WORKERS.values()})


def post_fork(server: Any, worker: Any) -> None:
    """Take the slot, drop the parent's database connections, hide SCRIPT_NAME, and start the worker's own threads.

    A fork must not use its parent's connections. Gunicorn would read the variable, too, and answer 500 to requests from
    whose path a proxy has removed it.
    """
    os.environ.pop("SCRIPT_NAME", None)
    metrics.take_slot(worker.slot)
    with worker.app.callable.app_context():
        get_engine().dispose(close=False)
    purger.start(worker.app.callable)
    usage_counting.start(worker.app.callable)
    aggregator.start(worker.app.callable)
    memory.reclaimer.start()


def worker_exit(server: Any, worker: Any) -> None:
    """End the purge, and close the worker's connections."""
    purger.stop(worker.app.callable)
    aggregator.stop(worker.app.callable)
    with worker.app.callable.app_context():
        get_engine().dispose()


def child_exit(server: Any, worker: Any) -> None:
    """Clear the slot of a worker that has exited."""
    metrics.leave_slot(worker.slot)


def on_exit(server: Any) -> None:
    """Remove the folder of the metrics, and merge SQLite's log into the database file."""
    metrics.unshare()
    with server.app.callable.app_context():
        path = sqlite_path()
    if path is not None:
        checkpoints.close_log(path, _CLOSE_LOG_S)
