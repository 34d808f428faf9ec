"""Who counts as one rater of a log. Pure functions."""

from typing import TypeVar

from promptcrafter.logs.models import HUMAN

_Part = TypeVar("_Part")


def identify_rater(annotator: str, account: _Part, identifier: _Part) -> tuple[_Part, ...]:
    """Return what tells a rater from others of the same annotator.

    `account` and `identifier` are `rater` and `identifier` of a score, or these columns themselves. A person is one
    rater, whatever the identifier. An account may run several judges and programs, and send the opinions of several
    customers, each with its identifier.
    """
    return (account,) if annotator == HUMAN else (account, identifier)
