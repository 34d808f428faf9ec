"""Queries with phrases and exclusions, and what they ask of a text.

Neither index knows the places of words, so a log that has all words of a query is only a candidate: whether the words
of a phrase follow each other, and whether an excluded one is absent, is seen in its texts. They are split as the index
splits them, so that both find the same words, on both databases.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from promptcrafter.logs import search
from promptcrafter.text import fold

_QUOTES = str.maketrans(dict.fromkeys("“”„‟", '"'))
_PIECE = re.compile(r'(?P<not>(?<!\S)-)?"(?P<phrase>[^"]*)"|(?<!\S)-(?P<word>[^\s"]+)')


@dataclass(frozen=True)
class TextQuery:
    """A parsed query: `terms` for the index, and what a text must and must not contain besides."""

    terms: list[str]
    phrases: list[str]
    excluded: list[str]

    @property
    def size(self) -> int:
        """The number of words and phrases."""
        return len(self.terms) + len(self.excluded)

    @property
    def is_indexed(self) -> bool:
        """Whether the index alone answers the query."""
        return not (self.phrases or self.excluded)

    def requiring_terms(self) -> "TextQuery":
        """Return the query for texts that are fewer than the index has: these must contain the terms themselves."""
        terms = [_write_term(term) for term in self.terms]
        return TextQuery(self.terms, [*terms, *self.phrases], self.excluded)

    def matches(self, texts: Iterable[str | None]) -> bool:
        """Return whether the texts together are as the query asks; a phrase must be in one of them."""
        written = "\n".join(search.split_text(text) for text in texts if text)
        return all(phrase in written for phrase in self.phrases) and not any(
            phrase in written for phrase in self.excluded
        )


def parse(query: str) -> TextQuery:
    """Parse words, `prefix*`, `"phrases"`, `-excluded` and `-"excluded phrases"`.

    A quotation mark without another one, and a hyphen that follows something, are punctuation.
    """
    folded = fold(query).translate(_QUOTES)
    terms = dict.fromkeys(search.parse_terms(_PIECE.sub(" ", folded)))
    phrases, excluded = [], []
    for piece in _PIECE.finditer(folded):
        text = piece["word"] or piece["phrase"]
        written = _write_phrase(text)
        if written is None:
            continue
        if piece["word"] or piece["not"]:
            excluded.append(written)
            continue
        found = search.parse_terms(text)
        terms |= dict.fromkeys(found)
        if found != [written.strip()]:  # a single word needs no look at the text
            phrases.append(written)
    return TextQuery(list(terms), phrases, excluded)


def _write_phrase(text: str) -> str | None:
    """Return what a text that has the phrase contains, in the form of `split_text`; None without any word."""
    words = search.split_text(text).strip()
    return _bound(words, is_prefix=text.rstrip().endswith("*")) if words else None


def _write_term(term: str) -> str:
    """Return what a text that has a term of the index contains. Of a long word the index has the beginning only."""
    word = term.removesuffix("*")
    return _bound(word, is_prefix=term.endswith("*") or len(word) >= search.WORD_MAX)


def _bound(words: str, *, is_prefix: bool) -> str:
    """Return the words with a blank at each end that must be the end of a word.

    In scripts without blanks none is."""
    start = "" if search.is_spaceless(words[0]) else " "
    end = "" if is_prefix or search.is_spaceless(words[-1]) else " "
    return f"{start}{words}{end}"
