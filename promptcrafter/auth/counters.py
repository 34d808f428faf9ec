"""Counters that end after a while, in memory of a fixed size that all workers of a server share.

An attacker can choose as many keys (addresses, accounts) as he likes. So the counters are a table of a fixed number of
entries: 64-bit digests of keys, with a count and the time when it ends. A key has a set of `_WAYS` entries to choose
from. When they are all in use, it takes the one with the lowest count, so that many new keys displace each other and
not the counter of an account that is being attacked.
"""

import fcntl
import hashlib
import mmap
import os
import secrets
import struct
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_ENTRY = struct.Struct("=QdI")  # digest of the key, end in seconds since 1970, count
_WAYS = 8
_SETS = 32768  # 262,144 counters in 5 MiB, of which the system provides what is used
_COUNT_MAX = 2**32 - 1


class Counters:
    """A table of counters. Create it before the workers are forked: they then share it."""

    def __init__(self, sets: int = _SETS) -> None:
        self._sets = sets
        self._table = mmap.mmap(-1, sets * _WAYS * _ENTRY.size)
        self._secret = secrets.token_bytes(16)  # so that nobody can choose keys that share a set
        self._threads = Lock()
        self._processes = _open_lock_file()
        weakref.finalize(self, os.close, self._processes)

    def add(self, key: str, amount: int, seconds: float) -> int:
        """Add to a counter, which begins at 0 and then ends after that many seconds; return the count."""
        digest, start = self._locate(key)
        now = time.time()
        with self._locked():
            entries = self._read(start)
            for way, (other, end, count) in enumerate(entries):
                if other == digest and end > now:
                    return self._write(start, way, digest, end, min(count + amount, _COUNT_MAX))
            # one that has ended, else the lowest, else the one that ends first
            way = min(range(_WAYS), key=lambda way: (entries[way][1] > now, entries[way][2], entries[way][1]))
            return self._write(start, way, digest, now + seconds, amount)

    def get(self, key: str) -> tuple[int, float]:
        """Return the count, and the time when it ends; 0 and the present time if there is none."""
        digest, start = self._locate(key)
        now = time.time()
        with self._locked():
            found = [(count, end) for other, end, count in self._read(start) if other == digest and end > now]
        return found[0] if found else (0, now)

    def clear(self) -> None:
        """Set all counters to 0."""
        with self._locked():
            self._table[:] = bytes(len(self._table))

    def _locate(self, key: str) -> tuple[int, int]:
        """Return the digest of a key, and where its set begins."""
        value = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16, key=self._secret).digest()
        digest, place = struct.unpack("=QQ", value)
        return digest, place % self._sets * _WAYS * _ENTRY.size

    def _read(self, start: int) -> list[tuple[int, float, int]]:
        return list(_ENTRY.iter_unpack(self._table[start : start + _WAYS * _ENTRY.size]))

    def _write(self, start: int, way: int, digest: int, end: float, count: int) -> int:
        _ENTRY.pack_into(self._table, start + way * _ENTRY.size, digest, end, count)
        return count

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other threads and processes out. The kernel releases the lock of a process that dies."""
        with self._threads:  # the file lock belongs to the whole process
            fcntl.lockf(self._processes, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._processes, fcntl.LOCK_UN)


def _open_lock_file() -> int:
    """Open a file to lock, which takes no room on a disk where the system can do that; return its descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("promptcrafter-counters")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
