"""Configure how glibc returns freed memory to the system."""

import ctypes
from contextlib import suppress

_LARGE_BLOCK = 1024 * 1024  # bytes
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
