"""The work that a function does, as a number that is the same on every machine."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

T = TypeVar("T")


def count_calls(function: Callable[[], T]) -> tuple[T, int]:
    """Call a function; return its result and how many calls of Python and C functions it made."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        result = function()
    finally:
        sys.setprofile(None)
    return result, calls
