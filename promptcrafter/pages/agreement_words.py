"""Who has scored, and how far raters agree, in words. Pure functions of what `scores.reviews` returns."""

from collections.abc import Mapping
from typing import Any

from promptcrafter.pages.formatting import number

# Krippendorff's own limits: conclusions may be drawn from 0.8 on, tentative ones from 2/3 on
_GOOD, _FAIR = 0.8, 0.667
_PAIRS_SHOWN = 10


def describe(agreement: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a verdict, what it rests on, and a sentence for each pair of raters; None if no two scored the same."""
    if agreement["raters"] < 2:
        return None
    outputs = _count(agreement["logs"], "output")
    basis = f"{_count(agreement['raters'], 'person', 'people')} scored the same {outputs}"
    equal = f", and gave {number(100 * agreement['equal'], 0)} % of them the same score." if agreement["logs"] else "."
    return {
        "verdict": _judge(agreement),
        "basis": basis + equal,
        "alpha": agreement["alpha"],
        "pairs": [_describe_pair(pair) for pair in agreement["pairs"][:_PAIRS_SHOWN]],
    }


def name_raters(progress: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `reviews.get_progress` returns, with names that tell apart a rater and the imported one of that name.

    What came with an import counts as scores of other people: a file can name anybody.
    """
    named = (
        rater if rater["author"] is None else {**rater, "author": {**rater["author"], "name": _name(rater["author"])}}
        for rater in progress["raters"]
    )
    return {**progress, "raters": list(named)}


def _name(rater: Mapping[str, Any]) -> str:
    return f"{rater['name']} (imported)" if rater["imported"] else str(rater["name"])


def _judge(agreement: Mapping[str, Any]) -> str:
    alpha = agreement["alpha"]
    if alpha is None:
        return "How far they agree cannot be said: all scores are the same."
    if agreement["fewLogs"]:
        return "These are too few outputs to say how far they agree."
    if alpha >= _GOOD:
        return "They agree well: the scores can be relied on."
    if alpha >= _FAIR:
        return "They agree roughly: differences between versions should be large before you rely on them."
    return "They agree little: talk about what a good output is before you rely on these scores."


def _describe_pair(pair: Mapping[str, Any]) -> str:
    who = f"{_name(pair['a'])} and {_name(pair['b'])}"
    outputs = _count(pair["n"], "output")
    if pair.get("meanAbsoluteDifference") is not None:
        return f"{who} differ by {number(pair['meanAbsoluteDifference'])} on average, over {outputs}."
    return f"{who} gave the same to {number(100 * (pair.get('equal') or 0), 0)} % of {outputs}."


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
