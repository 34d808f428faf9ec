"""Full text over outputs and notes: whole words in any script, or their beginnings.

Texts and queries are folded and split into words here, and not by the database, so that both answer the same. A log is
found when it has every word of the query, in whatever order and in whichever of the two texts. Scripts that put no
spaces between words are taken by pairs of characters.

SQLite's index (FTS5) gives what it finds in the order of its row ids. Those are made of a log's time and its sequence,
so that a page of a word that a million logs have is read from the index' end, and not found by sorting the million.
On PostgreSQL a GIN index over a `tsvector` serves.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Text,
    Update,
    bindparam,
    cast,
    column,
    func,
    insert,
    literal_column,
    select,
    table,
    update,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from promptcrafter import clock
from promptcrafter.database.compiled import CompiledWrite, from_arrays
from promptcrafter.database.keyset import Order
from promptcrafter.database.session import is_sqlite
from promptcrafter.logs.models import Log
from promptcrafter.text import SPACELESS_SCRIPTS, fold

MAX_WORDS = 32
_WORD_MAX = 64  # characters; of a longer word only the beginning counts
_WORDS_MAX_BYTES = 1_000_000  # distinct words of one log that are found: a tsvector holds 1,048,575 bytes
_SEQUENCE_BITS = 21  # of a row id of the index
_SEQUENCE_MASK = (1 << _SEQUENCE_BITS) - 1
_LATEST = (1 << 42) - 1  # milliseconds since 1970 that its other bits hold (the year 2109); later times count as this
_SPACELESS = re.compile(f"[{SPACELESS_SCRIPTS}]+")


def _to_tsvector(words: ColumnElement[str]) -> ColumnElement[Any]:
    return func.array_to_tsvector(func.string_to_array(words, " "))


_INDEX = table("log_words", column("rowid", BigInteger), column("words"))
_SEARCH = table("log_search", column("docid"), column("seq"), column("words"))
_WORDS = bindparam("words", type_=Text)
_DOC_ID = (
    bindparam("milliseconds", type_=BigInteger)
    .bitwise_lshift(_SEQUENCE_BITS)
    .bitwise_or(Log.seq.bitwise_and(_SEQUENCE_MASK))
)
_OF_LOG = Log.id == bindparam("id")
_OF_ROW = _SEARCH.c.seq == bindparam("key")
_INSERT_SQLITE = insert(_SEARCH).from_select(["docid", "seq", "words"], select(_DOC_ID, Log.seq, _WORDS).where(_OF_LOG))
# A row of values by itself: in a trigger, or from a select, FTS5 would write out all it has gathered for each row
_INDEX_SQLITE = insert(_INDEX).values(rowid=select(_DOC_ID).where(_OF_LOG).scalar_subquery(), words=_WORDS)
_NEW = from_arrays({"id": Text(), "words": Text()})
_INSERT_POSTGRESQL = insert(_SEARCH).from_select(
    ["seq", "words"], select(Log.seq, _to_tsvector(_NEW.c.words)).join(_NEW, Log.id == _NEW.c.id)
)
# What makes logs be found, by their `id`, `words` and `milliseconds`, a log's time
INDEX_WORDS = CompiledWrite([_INSERT_SQLITE, _INDEX_SQLITE], _INSERT_POSTGRESQL)
_UPDATE_SQLITE = update(_SEARCH).where(_OF_ROW).values(words=_WORDS)
_UPDATE_POSTGRESQL = update(_SEARCH).where(_OF_ROW).values(words=_to_tsvector(_WORDS))


class _Separators(dict[int, str]):
    """What `str.translate` makes of each character: itself in a word, a symbol on its own, a space between words."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Cf" or 0xFE00 <= code <= 0xFE0F:  # joiners and variation selectors, which nobody sees or types
            found = " " if code == 0x200B else ""
        elif category == "So":
            found = f" {character} "
        else:
            found = character if category[0] in "LMN" or category == "Co" else " "
        self[code] = found
        return found


_SEPARATORS = _Separators()


def words_of(*texts: str | None) -> str:
    """Return the distinct words of the texts, folded and joined by spaces: what the index is made of."""
    words = dict.fromkeys(chain.from_iterable(_split(fold(text)) for text in texts if text))
    joined = " ".join(words)
    if len(joined) * 4 <= _WORDS_MAX_BYTES or len(joined.encode()) <= _WORDS_MAX_BYTES:
        return joined
    return joined.encode()[:_WORDS_MAX_BYTES].decode(errors="ignore").rpartition(" ")[0]


def terms_of(query: str) -> list[str]:
    """Return what a log must have to be found: words, and beginnings of words with a `*` at their end."""
    terms: dict[str, None] = {}
    *starred, last = fold(query).split("*")
    for piece in starred:
        words = _split(piece, is_query=True)
        ends_in_word = bool(words) and not piece.translate(_SEPARATORS).endswith(" ")
        if ends_in_word and not words[-1].endswith("*"):
            words[-1] += "*"
        terms |= dict.fromkeys(words)
    return list(terms | dict.fromkeys(_split(last, is_query=True)))


def find_matching(logs: Select[Log], terms: Sequence[str], filters: Mapping[str, Any]) -> Select[Log]:
    """Return those of the logs that have all terms; `since` and `until` among the filters bound the search."""
    found = logs.join(_SEARCH, _SEARCH.c.seq == Log.seq)
    if not is_sqlite():
        return found.where(_SEARCH.c.words.op("@@", is_comparison=True)(cast(_write_tsquery(terms), TSQUERY)))
    found = found.join(_INDEX, _INDEX.c.rowid == _SEARCH.c.docid)
    found = found.where(literal_column("log_words").op("MATCH", is_comparison=True)(_write_match(terms)))
    if "since" in filters:
        found = found.where(_INDEX.c.rowid >= _doc_id(time_of(filters["since"]), 0))
    if "until" in filters:
        found = found.where(_INDEX.c.rowid < _doc_id(time_of(filters["until"]), 0))
    return found


@dataclass(frozen=True)
class IndexOrder(Order):
    """The order of time and sequence, as SQLite's index has it."""

    def sort(self, select: Select[Any]) -> Select[Any]:
        """Return the select, sorted."""
        return select.order_by(_INDEX.c.rowid.asc() if self.is_ascending else _INDEX.c.rowid.desc())

    def begin_after(self, select: Select[Any], cursor: str) -> Select[Any]:
        """Return the select from behind the row that the cursor names."""
        milliseconds, sequence = map(int, cursor.split("-"))
        here, there = _INDEX.c.rowid, _doc_id(milliseconds, sequence)
        return select.where(here > there if self.is_ascending else here < there)


def time_of(moment: datetime) -> int:
    """Return a log's time as the index takes it: milliseconds since 1970."""
    return min(clock.to_number(moment), _LATEST)


def update_words() -> Update:
    """Return the statement that indexes a log anew: its parameters are `key`, which is its `seq`, and `words`."""
    return _UPDATE_SQLITE if is_sqlite() else _UPDATE_POSTGRESQL


def write_tsvector(words: str) -> str:
    """Return the words of a log, as `words_of` gives them, as PostgreSQL writes its `tsvector` of them."""
    # sorted by their UTF-8 bytes, as code points are; a word has no character that would have to be escaped
    return " ".join(f"'{word}'" for word in sorted(words.split()))


def _split(folded: str, *, is_query: bool = False) -> list[str]:
    """Return the words of a folded text, those of a text without spaces by pairs of characters.

    Of such a run, a text has every character with the one behind it, and the last alone; a query has the pairs, or
    its only character as a beginning.
    """
    words = folded.translate(_SEPARATORS).split()
    if not folded.isascii() and _SPACELESS.search(folded):
        words = [part for word in words for part in _parts(word, is_query)]
    return [word[:_WORD_MAX] for word in words] if max(map(len, words), default=0) > _WORD_MAX else words


def _parts(word: str, is_query: bool) -> Iterator[str]:
    end = 0
    for run in _SPACELESS.finditer(word):
        if run.start() > end:
            yield word[end : run.start()]
        yield from _pairs(run.group(), is_query)
        end = run.end()
    if end < len(word):
        yield word[end:]


def _pairs(run: str, is_query: bool) -> Iterator[str]:
    if not is_query:
        yield from (run[at : at + 2] for at in range(len(run)))
    elif len(run) == 1:
        yield f"{run}*"
    else:
        yield from islice((run[at : at + 2] for at in range(len(run))), len(run) - 1)


def _write_match(terms: Sequence[str]) -> str:
    """Write an FTS5 query; a word has no character that means anything there."""
    return " AND ".join(f'"{term[:-1]}" *' if term.endswith("*") else f'"{term}"' for term in terms)


def _write_tsquery(terms: Sequence[str]) -> str:
    """Write the same for PostgreSQL."""
    return " & ".join(f"'{term[:-1]}':*" if term.endswith("*") else f"'{term}'" for term in terms)


def _doc_id(milliseconds: int, sequence: int) -> int:
    """Return the row id of a log in SQLite's index: its time, then its sequence."""
    return (min(milliseconds, _LATEST) << _SEQUENCE_BITS) | (sequence & _SEQUENCE_MASK)
