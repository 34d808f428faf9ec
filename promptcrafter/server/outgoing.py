"""Hold what a client has not read yet, so that a slow reader occupies no thread."""

import fcntl
import os
import socket
import struct
import tempfile
import termios
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import IO

_SENT_AT_ONCE = 64 * 1024  # bytes from which on a part of an answer is sent before the next is made
_MEMORY_MAX = 256 * 1024  # bytes held in memory for one connection; what is more waits in a file
_FILE_MAX = 128 * 1024 * 1024  # bytes that wait in the file of one connection
_PIECE = 256 * 1024  # bytes read from the file at once
_BUFFERS_MAX = 64  # pieces given to the system at once


class ClientGone(Exception):
    """The client has closed the connection."""


class Budget:
    """How many bytes all connections of a worker may hold, in files or in memory."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = Lock()

    @property
    def is_exceeded(self) -> bool:
        """Whether more is held than may be."""
        return self._left < 0

    def take(self, size: int) -> bool:
        """Take so many bytes; return False if there are not as many left."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def charge(self, size: int) -> None:
        """Take so many bytes even if there are not as many left; a negative number gives them back."""
        with self._lock:
            self._left -= size

    def give_back(self, size: int) -> None:
        """Return bytes that were taken."""
        self.charge(-size)


@dataclass(frozen=True)
class Budgets:
    """How many bytes a worker may hold of answers that wait for their clients."""

    memory: Budget
    files: Budget


class Outgoing:
    """The output of one connection: it stands in for the socket to which Gunicorn writes an answer.

    What the system does not take at once is held: first in memory, then in a file. When `is_full`, no more of the
    answer must be made until `flush` has sent what is held. What is made already and does not fit into the file is held
    in memory, too, and may exceed the budget for that.
    """

    def __init__(self, sock: socket.socket, budgets: Budgets) -> None:
        self._sock = sock
        self._budgets = budgets
        self._memory: deque[memoryview] = deque()  # is sent first,
        self._in_memory = 0  # bytes of it
        self._file: IO[bytes] | None = None  # then this file,
        self._read = self._written = 0  # bytes of it
        self._rest: list[bytes] = []  # then what did not fit
        self._in_rest = 0  # bytes of it
        self._charged = 0  # bytes that are taken from the budget of memory
        self._sent = 0  # bytes that the system has taken
        self._measured = 0  # bytes that had arrived at the last measurement

    @property
    def is_in_file(self) -> bool:
        """Whether a part is held in a file."""
        return self._file is not None

    @property
    def is_full(self) -> bool:
        """Whether something did not fit into the file."""
        return bool(self._rest)

    @property
    def in_memory(self) -> int:
        """The bytes that are held in memory."""
        return self._in_memory + self._in_rest

    def measure(self) -> int:
        """Return how many bytes have arrived at the client's system since the last call.

        What our own system has taken says little: it takes some megabytes at once, and then nothing for a while.
        """
        arrived = self._sent - _count_unconfirmed(self._sock)
        since, self._measured = arrived - self._measured, arrived
        return since

    def sendall(self, data: bytes) -> None:
        """Take data, whether the budgets suffice or not. Raises ClientGone."""
        if not data:
            return
        if self._file is None and not self._rest:
            self._hold(data)
            if self._in_memory >= _SENT_AT_ONCE and not self.flush():
                self._spill()
        else:
            self._hold_behind(data)
            self._charge()

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
                self._charge()
                return False
            except OSError as error:
                raise ClientGone from error
            self._sent += count
            self._in_memory -= count
            while count and count >= len(self._memory[0]):
                count -= len(self._memory.popleft())
            if count:
                self._memory[0] = self._memory[0][count:]
        self._charge()
        return True

    def close(self) -> None:
        """Free what is held."""
        self._memory.clear()
        self._rest.clear()
        self._in_memory = self._in_rest = 0
        self._charge()
        self._forget_file()

    def _hold(self, data: bytes) -> None:
        self._memory.append(memoryview(data))
        self._in_memory += len(data)

    def _hold_behind(self, data: bytes | memoryview) -> None:
        """Hold data behind what is in the file."""
        if self._rest or not self._write_to_file(data):
            self._rest.append(bytes(data))
            self._in_rest += len(data)

    def _spill(self) -> None:
        """Move what is too much for the memory of one connection to the file."""
        left = _MEMORY_MAX
        if self._in_memory > left:
            held, self._memory, self._in_memory = self._memory, deque(), 0
            for data in held:
                if left:
                    self._hold(bytes(data[:left]))  # a copy: a view would keep all of the data
                if len(data) > left:
                    self._hold_behind(data[left:])
                left = max(0, left - len(data))
        self._charge()

    def _charge(self) -> None:
        """Take what is held in memory from its budget, or give it back."""
        if self.in_memory != self._charged:
            self._budgets.memory.charge(self.in_memory - self._charged)
            self._charged = self.in_memory

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
            self._rest, self._in_rest = [], 0
        return bool(self._memory)

    def _write_to_file(self, data: bytes | memoryview) -> bool:
        """Append to the file; return False if it may not become so large, or cannot."""
        if self._written + len(data) > _FILE_MAX or not self._budgets.files.take(len(data)):
            return False
        at = self._written
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed in _forget_file
            while at < self._written + len(data):
                at += os.pwrite(self._file.fileno(), memoryview(data)[at - self._written :], at)
        except OSError:  # the disk is full, or there are too many files
            self._budgets.files.give_back(len(data))
            if self._file is not None and not self._written:
                self._forget_file()
            return False
        self._written = at
        return True

    def _forget_file(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._budgets.files.give_back(self._written)
        self._file, self._read, self._written = None, 0, 0


def _count_unconfirmed(sock: socket.socket) -> int:
    """Return how many bytes the system holds until the client's system has confirmed them; 0 if it does not tell."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])
    except OSError:
        return 0
