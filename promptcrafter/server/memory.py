"""Return freed memory to the system: large blocks at once, and what a large request leaves behind shortly after it.

A large request leaves two kinds of memory: objects in reference cycles, which Python would keep until it has made many
more objects, and freed blocks between used ones, which glibc would keep. See decision record 41.
"""

import ctypes
import gc
import os
import resource
import time
from contextlib import suppress
from threading import Thread

_LARGE_BLOCK = 1024 * 1024  # bytes
_GROWTH = 4 * 1024 * 1024  # bytes; less is left to Python and glibc
_PAUSE_S = 0.5  # between two looks at the memory, which take some microseconds
_AGAIN_S = (5, 30, 120)  # after a growth: what was in use at first, such as answers that wait, is free later
_STATUS = "/proc/self/statm"  # Linux only
_STATUS_MAX = 256  # bytes
_PAGE = resource.getpagesize()
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h


def return_large_blocks() -> None:
    """Configure malloc to return freed blocks of a mebibyte and more at once, such as a password check's 19 MiB.

    By default glibc maps such a block only once, then raises its threshold and keeps the next ones, in a heap for each
    thread. The setting is inherited by forks. With another C library nothing is configured. See decision record 23.
    """
    with suppress(AttributeError):  # another C library has no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_ARENA_MAX, 1)  # the interpreter lock lets only one thread allocate at a time anyway


class Reclaimer:
    """Frees what large requests leave behind, in a thread of its own.

    Twice a second it looks at how much memory the process has, rather than at the requests: a small one, too, can use
    much. It collects garbage if that has grown, and some more times after that, so the processor time which this takes
    is bounded: some milliseconds, in which no request is answered. What is in use then is the new baseline.
    """

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
        self._status = -1  # the descriptor of the open file
        self._baseline = 0
        self._due: list[float] = []  # the times of the next collections, the last one first

    def start(self) -> None:
        """Start the thread. Call it in each worker, because a fork has none of its parent's threads."""
        if os.path.exists(_STATUS):
            self._status = os.open(_STATUS, os.O_RDONLY | os.O_CLOEXEC)  # stays open: later none may be left to open it
            self._baseline = self._read_private_bytes()
            Thread(target=self._run, name="reclaimer", daemon=True).start()

    def reclaim(self) -> None:
        """Free memory if the process has much more than after the last time, or had some time ago."""
        used, now = self._read_private_bytes(), time.monotonic()
        if used > self._baseline + _GROWTH:
            self._due = [now + seconds for seconds in (*reversed(_AGAIN_S), 0)]
        if self._due and self._due[-1] <= now:
            self._due.pop()
            gc.collect()
            if self._trim is not None:
                self._trim(0)
            self._baseline = used = self._read_private_bytes()
        self._baseline = min(self._baseline, used)

    def _run(self) -> None:
        while True:
            time.sleep(_PAUSE_S)
            self.reclaim()

    def _read_private_bytes(self) -> int:
        """Return the bytes of memory that this process has beside files, such as code and what SQLite maps."""
        _, resident, shared, *_ = map(int, os.pread(self._status, _STATUS_MAX, 0).split())
        return (resident - shared) * _PAGE


reclaimer = Reclaimer()
