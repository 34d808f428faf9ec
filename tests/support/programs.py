"""Start `flask` and `gunicorn` from a process that has imported the service already.

Importing takes more than four fifths of the processor time of a command or of a server's start, and the tests start
hundreds. So each process of pytest has a fork server, which imports once what the programs import, and forks for each
of them. The child has the arguments, the environment, the folder and the streams of a new process, runs the same
script, and ends as an interpreter does. This is sound because importing the service reads no setting, opens no database
and starts no thread; Gunicorn, too, forks its workers after it has imported everything. Gunicorn itself reads a few
defaults from the environment when it is imported, but `gunicorn.conf.py` sets all of them.

Start an executable instead where a test is about a new interpreter: what it imports and how much memory it takes, what
limits and privileges it gets, a terminal, or the code of another release.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from threading import Lock
from typing import IO

from tests.support.environment import ROOT, bin_path

# A fork would not save what coverage measures
CAN_FORK = sys.platform == "linux" and "coverage" not in sys.modules

_lock = Lock()  # for threads that start the first program concurrently


class Program:
    """A started program, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.pid = int(channel.recv(100))
        self.returncode: int | None = None

    def wait(self, timeout: float) -> int:
        """Return the exit status, negative for a signal. Raises TimeoutExpired after `timeout` seconds."""
        if self.returncode is None:
            self._channel.settimeout(timeout)
            try:
                self.returncode = int(self._channel.recv(100))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout) from None
            self._channel.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit status, or None while the program runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    name: str, *arguments: str, environment: Mapping[str, str], stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]
) -> Program:
    """Start a program of this virtual environment in the repository's folder."""
    request = {"script": bin_path(name), "arguments": arguments, "environment": dict(environment)}
    channel, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far_end:
        descriptors = [file.fileno() for file in (far_end, stdin, stdout, stderr)]
        with _lock:
            requests = _connect_to_fork_server()
        socket.send_fds(requests, [json.dumps(request).encode()], descriptors)
    return Program(channel)


def run(
    name: str, *arguments: str, environment: Mapping[str, str], stdin: str = "", timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a program of this virtual environment in the repository's folder to its end."""
    if not CAN_FORK:
        command = [bin_path(name), *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, input=stdin, capture_output=True, text=True, timeout=timeout
        )
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as shown, tempfile.TemporaryFile() as errors:
        given.write(stdin.encode())
        given.seek(0)
        program = start(name, *arguments, environment=environment, stdin=given, stdout=shown, stderr=errors)
        try:
            status = program.wait(timeout)
        finally:
            program.kill()
        for file in (shown, errors):
            file.seek(0)
        return subprocess.CompletedProcess([name, *arguments], status, shown.read().decode(), errors.read().decode())


@cache
def _connect_to_fork_server() -> socket.socket:
    """Start the fork server of this process, which ends with it, and return the socket for requests."""
    requests, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far_end:
        # Without an environment, as if it were a program's: what is set for pytest must not reach all programs
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server"], cwd=ROOT, env={}, stdin=far_end.fileno()
        )

    @atexit.register
    def stop() -> None:
        requests.close()
        server.wait()

    return requests
