"""What comparisons say, in words. Pure functions.

Only a settled comparison says "better": what was merely observed "scored higher", and the reasons that this may have
are named (decision 54). The metrics of experiments have no direction, so that they are higher or lower, never better.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from promptcrafter.pages.formatting import number, sentence

_BASES = {  # with the number of scored outputs, or of inputs that both groups have
    "randomised": "An experiment assigned them at random; {n} scored outputs.",
    "paired": "Compared on the same {n} inputs, pair by pair: the first scored output of each, not all outputs.",
    "observational": "Only observed, in {n} scored outputs: nothing assigned them at random, and the inputs were not "
    "the same. An experiment, or scores of both for the same inputs, would settle it.",
}
_ONE_LOOK = "For one look only: these groups and filters may have been chosen after a look at the scores."
_CAUSES = {  # what a warning means for the outputs of two groups
    "The raters differ": "who scored them",
    "The weeks differ": "the weeks they are from",
    "The models differ": "their models",
    "The versions differ": "their versions",
    "The inputs differ": "their inputs",
    "The shares of scored logs differ": "which of them were chosen to be scored",
}
_GROUPS = {  # by certainty, in their order: heading, and how many are shown at once
    "settled": ("Settled", 6),
    "equal": ("Equally good", 6),
    "observed": ("Higher, but only observed", 3),
    "higher": ("Higher", 3),
    "open": ("Cannot be told apart yet", 0),
}
_OTHERS_MAX = 60  # of each certainty
UNGROUPED_MAX = 3  # verdicts; more are grouped by their certainty


class Verdict(NamedTuple):
    """A sentence about two groups, how it is known, what else differs between them, and a key of how sure it is.

    `certainty` is "settled", "equal", "observed", "higher" (settled, but it is unknown which is better) or "open".
    """

    sentence: str
    basis: str
    warnings: Sequence[str]
    certainty: str

    @property
    def caveat(self) -> str:
        """What else differs between the two, in a sentence; beside a settled comparison it takes nothing back."""
        if not self.warnings:
            return ""
        names = [_CAUSES.get(text, text) for text in self.warnings]
        first = "A difference may also come from" if self.certainty in ("observed", "open") else "They also differ in"
        listed = " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
        return f"{first} {listed}."


class VerdictGroup(NamedTuple):
    """Verdicts of the same certainty: their number, those that are shown at once, and some of the others."""

    heading: str
    size: int
    first: Sequence[Verdict]
    others: Sequence[Verdict]

    @property
    def left_out(self) -> int:
        """How many of them are not shown."""
        return self.size - len(self.first) - len(self.others)


def describe(comparison: Mapping[str, Any], name_of: Mapping[str, str], *, keeps_case: bool = False) -> Verdict | None:
    """Return what a comparison says; None if no two values could be compared.

    `name_of` has the names of the groups `a` and `b`. With `keeps_case`, they are written as they are at the beginning
    of a sentence, too, as the names of models are.
    """
    difference, interval = comparison["difference"], comparison["interval95"]
    if difference is None:
        return None
    higher = comparison["higher"] or ("b" if difference > 0 else "a")
    first, second = name_of[higher], name_of["a" if higher == "b" else "b"]
    if interval and higher == "a":  # of b minus a, but the sentence has the size of what a is ahead by
        interval = [-interval[1], -interval[0]]
    by = f"by {number(abs(difference))}{_within(interval)}"
    if comparison["settled"]:
        loser = "a" if comparison["settled"] == "b" else "b"
        text, certainty = f"{name_of[comparison['settled']]} is better than {name_of[loser]} {by}.", "settled"
    elif comparison["equivalent"]:
        text, certainty = f"{first} and {second} are equally good: what they differ by does not matter.", "equal"
    elif interval and interval[0] > 0:
        certainty = "higher" if comparison["higher"] else "observed"
        text = f"{first} scored higher than {second} {by}."
    else:
        what = "inputs that both answer" if comparison["basis"] == "paired" else "scores"
        why = _why_open(difference, interval) + _what_is_missing(comparison, what)
        text, certainty = f"{first} and {second} cannot be told apart yet{why}.", "open"
    basis = _ONE_LOOK if comparison["oneLook"] else _BASES[comparison["basis"]]
    # of what cannot be told apart, only pairs are named, because their difference is not that of the means
    basis = "" if certainty == "open" and comparison["basis"] != "paired" else basis.format(n=number(comparison["n"]))
    return Verdict(text if keeps_case else sentence(text), basis, comparison["warnings"], certainty)


def sort(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return verdicts with the surest ones first."""
    return sorted(verdicts, key=lambda verdict: list(_GROUPS).index(verdict.certainty))


def group(verdicts: Sequence[Verdict]) -> list[VerdictGroup]:
    """Return sorted verdicts by their certainty. A few are in one group without a heading."""
    if len(verdicts) <= UNGROUPED_MAX:
        return [VerdictGroup("", len(verdicts), verdicts, ())] if verdicts else []
    groups = []
    for certainty, (heading, shown) in _GROUPS.items():
        some = [verdict for verdict in verdicts if verdict.certainty == certainty]
        if some:
            groups.append(VerdictGroup(heading, len(some), some[:shown], some[shown : shown + _OTHERS_MAX]))
    return groups


def describe_difference(variant: str, baseline: str, found: Mapping[str, Any]) -> Verdict:
    """Return what the difference of a metric between two variants of an experiment says."""
    difference, interval = found["difference"], found["interval95"]
    size = number(abs(difference))
    direction = "higher" if difference > 0 else "lower"
    if difference < 0 and interval:
        interval = [-interval[1], -interval[0]]
    if found["settled"]:
        text = f"{variant} is {direction} than {baseline} by {size}{_within(interval)}."
        return Verdict(sentence(text), "", (), "settled")
    if difference == 0:
        text = f"Not settled yet: {variant} is the same as {baseline} so far"
    else:
        text = f"Not settled yet: {variant} is {direction} than {baseline} by {size} so far"
    missing = _what_is_missing(found, "results of both")
    if not interval:
        return Verdict(f"{text}, of too few results for an interval{missing}.", "", (), "open")
    text += f". The difference may be anything between {_ends(interval)}, zero included{missing}."
    return Verdict(text, "", (), "open")


def _within(interval: Sequence[float] | None) -> str:
    return f" (95% interval: {number(interval[0])} to {number(interval[1])})" if interval else ""


def _why_open(difference: float, interval: Sequence[float] | None) -> str:
    if not interval:
        return ": there are too few scores"
    if difference == 0:
        return f": their means are equal, and the difference may be anything between {_ends(interval)}"
    return f": the difference of {number(abs(difference))} may be chance, and be anything between {_ends(interval)}"


def _what_is_missing(comparison: Mapping[str, Any], what: str) -> str:
    """Say how many more will tell, with two digits: the number is an estimate."""
    if comparison["needed"] is None:
        return ""
    missing = max(1, comparison["needed"] - comparison["n"])
    unit = 10 ** max(0, len(str(missing)) - 2)
    more = number(math.ceil(missing / unit) * unit)
    return f". If the difference stays as it is, about {more} more {what} will tell"


def _ends(interval: Sequence[float]) -> str:
    return f"{number(interval[0])} and {number(interval[1])}"
