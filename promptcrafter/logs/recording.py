"""What every dialect does to record an output."""

from collections.abc import Callable
from typing import TypeVar

from promptcrafter.logs.store import ParentGone

_Recorded = TypeVar("_Recorded")
_TRIES = 3


def resolve_and_record(attempt: Callable[[], _Recorded], give_up: Callable[[], _Recorded]) -> _Recorded:
    """Run `attempt`, which looks up what an output belongs to and then writes it, and return what it does.

    Again when that was deleted in between: a client whose outputs are kept in any case must not hear of it. `give_up`
    is what to do when it happens every time.
    """
    for _ in range(_TRIES):
        try:
            return attempt()
        except ParentGone:
            continue
    return give_up()
