"""How the server's processes give memory back to the system."""

import ctypes
from contextlib import suppress

_LARGE_BLOCK = 1024 * 1024
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h


def return_large_blocks() -> None:
    """Let freed blocks of a megabyte and more go back to the system, as the 19 of a password that was checked.

    By itself glibc maps such a block once, and then takes and keeps the next as it does small ones, for each thread.
    """
    with suppress(AttributeError):  # another C library, with another way
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_ARENA_MAX, 1)  # the interpreter's lock lets one thread allocate at a time as it is
