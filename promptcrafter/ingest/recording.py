"""What every dialect does to record an output."""

from collections.abc import Callable
from typing import TypeVar

from promptcrafter.logs.store import ParentGone

_Recorded = TypeVar("_Recorded")


def resolve_and_record(attempt: Callable[[], _Recorded]) -> _Recorded:
    """Run `attempt`, which looks up what an output belongs to and then writes it.

    Once more when that was deleted in between: a client whose outputs are kept in any case must not hear of it.
    """
    try:
        return attempt()
    except ParentGone:
        return attempt()
