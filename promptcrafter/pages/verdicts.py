"""What a comparison of two groups says, in words. Pure functions.

Only a settled comparison says "better": what was merely observed "scored higher", and the reasons that this may have
are named (decision 54).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from promptcrafter.pages.formatting import number


class Verdict(NamedTuple):
    """A sentence about two groups, the reasons to doubt it, and how sure it is: `settled`, `equal`, `open`."""

    sentence: str
    warnings: Sequence[str]
    certainty: str


def describe(comparison: Mapping[str, Any], name_of: Mapping[str, str]) -> Verdict | None:
    """Return what a comparison says; None if no two values could be compared.

    `name_of` has the names of the groups `a` and `b`.
    """
    difference, interval = comparison["difference"], comparison["interval95"]
    if difference is None:
        return None
    size = number(abs(difference))
    if interval and difference < 0:  # of b minus a, but the sentence has the size of what a is ahead by
        interval = [-interval[1], -interval[0]]
    within = f", between {number(interval[0])} and {number(interval[1])}" if interval else ""
    higher = comparison["higher"] or ("b" if difference > 0 else "a")
    lower = "a" if higher == "b" else "b"
    first, second = name_of[higher], name_of[lower]
    warnings = comparison["warnings"]
    if comparison["settled"]:
        winner = comparison["settled"]
        loser = "a" if winner == "b" else "b"
        return Verdict(f"{name_of[winner]} is better than {name_of[loser]} by {size}{within}.", warnings, "settled")
    if comparison["equivalent"]:
        return Verdict(
            f"{first} and {second} are equally good: what they differ by does not matter.", warnings, "equal"
        )
    if comparison["basis"] == "observational" and comparison["higher"]:
        return Verdict(f"{first} scored higher than {second} by {size}{within}.", warnings, "observed")
    return Verdict(f"{first} and {second} cannot be told apart yet: {size} apart{within}.", warnings, "open")
