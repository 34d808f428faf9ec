"""The process from which `tests.support.programs` starts programs: it has imported what they import.

Its standard input is one end of a pair of sockets. For each program it receives what to run, the program's standard
streams, and a channel to which it writes the id of the program's process, and at the end its exit status.
"""

import gc
import importlib.metadata
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

import alembic.command  # noqa: F401
import dotenv.main  # noqa: F401
import flask.cli  # noqa: F401
import flask_migrate.cli  # noqa: F401
import flask_sqlalchemy.cli  # noqa: F401
import gunicorn.app.wsgiapp
import gunicorn.glogging
import gunicorn.workers.gthread  # noqa: F401
import psycopg  # noqa: F401

import promptcrafter.cli
import promptcrafter.server.startup
import promptcrafter.server.worker


def serve() -> None:
    """Start programs until the other end of the standard input is closed. Return in the processes of programs, too."""
    assert threading.active_count() == 1, "a thread would be missing in the forks"
    load_commands()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests and the programs
    requests = socket.socket(fileno=0)
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, 1_000_000, 4)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):  # supervisors that have exited
                pass
        if not request:
            return
        if os.fork() == 0:
            requests.detach()
            channel, *streams = descriptors
            supervise(channel)
            run(**json.loads(request), streams=streams)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def load_commands() -> None:
    """Import what commands import at first use, and keep which commands libraries have.

    For that, Flask reads the metadata of all packages that are installed.
    """
    for module in pkgutil.iter_modules(promptcrafter.cli.__path__):
        importlib.import_module(f"promptcrafter.cli.{module.name}")
    importlib.metadata.entry_points = cache(importlib.metadata.entry_points)  # type: ignore[assignment]
    importlib.metadata.entry_points(group="flask.commands")


def supervise(channel: int) -> None:
    """Return in a new process. In this one, report its id and its exit status, and exit."""
    process_id = os.fork()
    if process_id == 0:
        os.close(channel)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return
    try:
        os.write(channel, str(process_id).encode())
        _, status = os.waitpid(process_id, 0)
        os.write(channel, str(os.waitstatus_to_exitcode(status)).encode())
    finally:
        os._exit(0)


def run(script: str, arguments: list[str], environment: dict[str, str], streams: list[int]) -> None:
    """Run a script of Python as a new interpreter would; this process ends like one when the caller returns."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    serve()
