"""Where the words of a query are in a text, for marking them. Pure functions that take bounded time.

A mark is a help for the eye: which logs match is decided by the index and by `phrases`. Of texts that are folded to
another length, such as those with `ß`, fewer characters are looked at.
"""

import re
from collections.abc import Iterator
from itertools import islice

from promptcrafter.logs import phrases, search
from promptcrafter.text import fold

_LOOKED_AT, _MAPPED = 20_000, 4_000  # characters
_HITS_MAX = 200  # of a text

Span = tuple[int, int]


def make_pattern(query: str) -> re.Pattern[str] | None:
    """Return the pattern of the words of a query in a folded text; None if it has no words."""
    terms = phrases.parse(query).terms[: search.MAX_WORDS]
    written = [_write(term) for term in sorted(terms, key=len, reverse=True)]
    return re.compile("|".join(written)) if written else None


def _write(term: str) -> str:
    word = term.removesuffix("*")
    start = "" if search.is_spaceless(word[0]) else r"(?<!\w)"
    is_prefix = term.endswith("*") or len(word) >= search.WORD_MAX
    if is_prefix and not search.is_spaceless(word[-1]):
        return rf"{start}{re.escape(word)}\w{{0,{search.WORD_MAX}}}"
    return f"{start}{re.escape(word)}" + ("" if search.is_spaceless(word[-1]) else r"(?!\w)")


def find_hits(pattern: re.Pattern[str] | None, text: str) -> list[Span]:
    """Return begin and end of the words in the beginning of a text, in their order."""
    if pattern is None:
        return []
    looked_at = text[:_LOOKED_AT]
    folded = fold(looked_at)
    if len(folded) == len(looked_at):
        return [match.span() for match in islice(pattern.finditer(folded), _HITS_MAX)]
    return list(islice(_find_mapped(pattern, looked_at[:_MAPPED]), _HITS_MAX))


def _find_mapped(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    """Yield what `find_hits` returns, for a text whose folded form has another length."""
    pieces = [fold(character) for character in text]
    places = [place for place, piece in enumerate(pieces) for _ in piece]
    for match in pattern.finditer("".join(pieces)):
        if match.start() < match.end():
            yield places[match.start()], places[match.end() - 1] + 1
