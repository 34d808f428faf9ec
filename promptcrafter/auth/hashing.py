"""Where passwords are hashed: on one thread of low priority in each worker, for a bounded number of requests.

A hash takes 35 ms of a core, a thousand times as long as most of what a request computes. Without a bound, sixteen
clients that log in keep all threads of all workers busy, and everybody else waits.
"""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore, get_native_id
from typing import ParamSpec, TypeVar

from flask import Flask, current_app

from config import Config
from promptcrafter.problems import RETRY_AFTER_S, Problem

_EXTENSION = "promptcrafter-hashing"
_NICENESS = 10  # a tenth of the share of other threads, while those need the cores
_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class _Hashing:
    """The slots of a worker, and the thread on which one request after the other hashes."""

    def __init__(self, slots: int) -> None:
        self.slots = BoundedSemaphore(slots)
        # starts at the first use, and so in the worker
        self.thread = ThreadPoolExecutor(1, "passwords", _lower_priority)


def init_app(app: Flask, config: Config) -> None:
    """Let passwords occupy at most half of the threads of a worker."""
    app.extensions[_EXTENSION] = _Hashing(max(1, config.web_threads // 2))


@contextmanager
def slot() -> Iterator[None]:
    """Keep a slot for the block, which calls `run` once. Raises 503 at once if all are taken.

    Whatever else the block does for the hash is then not done for a request that is refused.
    """
    slots = _hashing().slots
    if not slots.acquire(blocking=False):
        message = "The server is busy with other passwords. Try again."
        raise Problem(503, message, "passwords_busy", headers={"Retry-After": str(RETRY_AFTER_S)})
    try:
        yield
    finally:
        slots.release()


def run(work: Callable[_Parameters, _Result], *args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
    """Call a function that hashes, when it is its turn, and return its result. Call it inside `slot()`."""
    return _hashing().thread.submit(work, *args, **kwargs).result()


def _hashing() -> _Hashing:
    hashing: _Hashing = current_app.extensions[_EXTENSION]
    return hashing


def _lower_priority() -> None:
    """Let the other threads of this machine go first. Linux has priorities of threads, others of processes only."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICENESS)
