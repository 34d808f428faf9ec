"""Counts of the tokens of a text, in OpenAI's vocabulary o200k_base, without network access.

The counts are exact for GPT-4o and its successors, and estimates for all other models (decision 11).
"""

import logging
from collections.abc import Callable
from functools import cache
from importlib import import_module

_VOCABULARY = "o200k_base"
_NO_LIMIT = 2**31  # tokens, more than any text has
_log = logging.getLogger(__name__)
_Counter = Callable[[str], int | None]


def count(text: str) -> float | None:
    """Return the number of tokens of a text; None if the library is missing or fails, so that no log is rejected."""
    counter = _counter()
    counted = None if counter is None else counter(text)
    return None if counted is None else float(counted)  # counts that are sent are floats, too; an array has one type


def load() -> None:
    """Load the vocabulary (64 MB) before forking, so that all workers share its memory."""
    _counter()


def clear_caches() -> None:
    """Forget the loaded library and that its failure was logged; for tests."""
    _counter.cache_clear()
    _warn_once.cache_clear()


@cache
def _counter() -> _Counter | None:
    """Return a function that counts the tokens of a text; None if the library cannot be loaded."""
    try:
        toktok = import_module("toktok")
        toktok.truncate("", _NO_LIMIT, _VOCABULARY)
    except Exception:  # without the library, or if it is broken, counts stay None
        _log.exception("tokens are not counted: toktok-rs failed to load")
        return None

    def count_tokens(text: str) -> int | None:
        try:
            # truncate() also counts; batch_count() takes three times as long, because it asks for the number of cores
            _, tokens = toktok.truncate(text, _NO_LIMIT, _VOCABULARY)
        except Exception:  # no failure of the counter may reject a log
            _warn_once("the token counter failed")
            return None
        return int(tokens)

    return count_tokens


@cache
def _warn_once(message: str) -> None:
    """Log the current exception, once in a process for each message."""
    _log.exception(message)
