"""Hold what a client has not read yet, so that a slow reader occupies no thread."""

import os
import socket
import tempfile
from collections import deque
from contextlib import suppress
from itertools import islice
from threading import Lock
from typing import IO

_SENT_AT_ONCE = 64 * 1024  # bytes from which on a part of an answer is sent before the next is made
_MEMORY_MAX = 256 * 1024  # bytes held in memory for one connection; what is made then waits in a file
_FILE_MAX = 128 * 1024 * 1024  # bytes that wait in the file of one connection
_PIECE = 256 * 1024  # bytes read from the file at once
_BUFFERS_MAX = 64  # pieces given to the system at once


class ClientGone(Exception):
    """The client has closed the connection."""


class DiskBudget:
    """How many bytes all connections of a worker may hold in files."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = Lock()

    def take(self, size: int) -> bool:
        """Take so many bytes; return False if there are not as many left."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give_back(self, size: int) -> None:
        """Return bytes that were taken."""
        with self._lock:
            self._left += size


class Outgoing:
    """The output of one connection: it stands in for the socket to which Gunicorn writes an answer.

    What the system does not take at once is held: first in memory, then in a file. When `is_full`, no more of the
    answer must be made until `flush` has sent what is held.
    """

    def __init__(self, sock: socket.socket, budget: DiskBudget) -> None:
        self._sock = sock
        self._budget = budget
        self._memory: deque[memoryview] = deque()  # is sent first,
        self._in_memory = 0  # bytes of it
        self._file: IO[bytes] | None = None  # then this file,
        self._read = self._written = 0  # bytes of it
        self._rest: list[bytes] = []  # then what found no room
        self.sent = 0  # bytes that the system has taken

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held."""
        return not self._memory and self._file is None

    @property
    def is_in_file(self) -> bool:
        """Whether a part is held in a file."""
        return self._file is not None

    @property
    def is_full(self) -> bool:
        """Whether something has found no room."""
        return bool(self._rest)

    def sendall(self, data: bytes) -> None:
        """Take data, whether there is room for it or not. Raises ClientGone."""
        if not data:
            return
        if self._rest:
            self._rest.append(data)
        elif self._file is None and self._in_memory < _MEMORY_MAX:
            self._hold(data)
            if self._in_memory >= _SENT_AT_ONCE:
                self.flush()
        elif not self._write_to_file(data):
            self._rest.append(data)

    send = sendall

    def gettimeout(self) -> float:
        """Return 0, as a socket does that does not block."""
        return 0.0

    def flush(self) -> bool:
        """Give the system as much as it takes; return whether that was all. Raises ClientGone."""
        while self._memory or self._refill():
            try:
                count = self._sock.sendmsg(islice(self._memory, _BUFFERS_MAX))
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                raise ClientGone from error
            self.sent += count
            self._in_memory -= count
            while count and count >= len(self._memory[0]):
                count -= len(self._memory.popleft())
            if count:
                self._memory[0] = self._memory[0][count:]
        return True

    def close(self) -> None:
        """Free what is held."""
        self._memory.clear()
        self._rest.clear()
        self._forget_file()

    def _hold(self, data: bytes) -> None:
        self._memory.append(memoryview(data))
        self._in_memory += len(data)

    def _refill(self) -> bool:
        """Move the next piece of the file to memory, or else the rest; return False if there is none."""
        if self._file is not None:
            data = os.pread(self._file.fileno(), _PIECE, self._read)
            self._read += len(data)
            if self._read == self._written:
                self._forget_file()
            self._hold(data)
        else:
            for data in self._rest:
                self._hold(data)
            self._rest = []
        return bool(self._memory)

    def _write_to_file(self, data: bytes) -> bool:
        """Append to the file; return False if there is no room for that."""
        if self._written + len(data) > _FILE_MAX or not self._budget.take(len(data)):
            return False
        at = self._written
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed in _forget_file
            while at < self._written + len(data):
                at += os.pwrite(self._file.fileno(), memoryview(data)[at - self._written :], at)
        except OSError:  # the disk is full, or there are too many files
            self._budget.give_back(len(data))
            if self._file is not None and not self._written:
                self._forget_file()
            return False
        self._written = at
        return True

    def _forget_file(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._budget.give_back(self._written)
        self._file, self._read, self._written = None, 0, 0
