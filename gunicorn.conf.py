"""How Gunicorn serves the application: `gunicorn -c gunicorn.conf.py wsgi:app`."""

import json
import logging
from typing import Any

import gunicorn.util

from config import Config
from promptcrafter import db
from promptcrafter.observe import logging_config, new_request_id

_config = Config.from_env()
_log = logging.getLogger("promptcrafter.gunicorn")

bind = f"{_config.host}:{_config.port}"
workers = _config.web_concurrency
threads = _config.web_threads
worker_class = "gthread"
preload_app = True  # one copy of the code for all workers, and a bad setting stops the start instead of a loop
timeout = 60
graceful_timeout = 10
keepalive = 5
limit_request_line = 8190  # 500 characters of a search take up to 6,000 bytes in a URL
control_socket_disable = True
logconfig_dict = logging_config(_config.log_format)


def when_ready(server: Any) -> None:
    """Say where the service is and what to try next."""
    url = f"http://{'127.0.0.1' if _config.host == '0.0.0.0' else _config.host}:{_config.port}"  # noqa: S104
    server.log.info("PromptCrafter is at %s - try %s/docs, or the five requests of README.md", url, url)


def post_fork(server: Any, worker: Any) -> None:
    """Let each worker open its own connections; the parent's are not its to use."""
    with worker.app.callable.app_context():
        db.engine().dispose(close=False)


def _write_error(sock: Any, status: int, reason: str, message: str) -> None:
    """Answer what Gunicorn refuses before the application sees it with the one error body."""
    text = message or reason
    _log.warning("refused a malformed request with %s %s", status, reason)
    body = json.dumps(
        {"message": text, "error": text, "code": reason.lower().replace(" ", "_"), "requestId": new_request_id()}
    ).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    gunicorn.util.write_nonblock(sock, head.encode() + body)


gunicorn.util.write_error = _write_error
