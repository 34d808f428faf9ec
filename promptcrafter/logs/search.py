"""Full-text search in the outputs and notes of logs: by whole words or prefixes of words, in any script.

With the setting INDEX_INPUT the index also has the words of inputs, each with a symbol before it that marks it as such.

Texts and queries are folded and split into words here and not by the database, so that both databases return the same
results. A log matches a query if it contains all of its words, in any order and in either of the two texts. In scripts
that put no spaces between words, pairs of characters take the place of words.

SQLite's index (FTS5) returns matches in the order of their row ids. A row id consists of the log's time and its
sequence number, so that a page of the newest of a million matches is read from the end of the index, without sorting
all of them. PostgreSQL uses a GIN index over a `tsvector`.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import Any

from flask import Flask, current_app
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

from config import Config
from promptcrafter import clock
from promptcrafter.database.compiled import CompiledWrite, from_arrays
from promptcrafter.database.fts5 import drop_crowded
from promptcrafter.database.keyset import Order, split_cursor
from promptcrafter.database.session import is_sqlite
from promptcrafter.logs.models import Log
from promptcrafter.logs.questions import DEFAULT_TEXTS, INPUT, NOTES, OUTPUT, find_question
from promptcrafter.text import SPACELESS_SCRIPTS, fold

MAX_WORDS = 32
WORD_MAX = 64  # characters; longer words are cut off
_WORDS_MAX_BYTES = 1_000_000  # of the distinct words of a log; more are not indexed: a tsvector holds 1,048,575 bytes
_UNCROWDED_MAX = 2000  # words, so few that it does not matter how they are spread over the buckets of SQLite's index
_BUCKET_MAX = 100  # words
_TABLE_MAX = 20_000  # characters, in 3 MB; texts in Chinese have 8,000 different ones
_SEQUENCE_BITS = 21  # the lower bits of a row id of the index, which are the lower bits of the sequence number
_SEQUENCE_MASK = (1 << _SEQUENCE_BITS) - 1
# The extremes of the upper bits: milliseconds since 1970, from 1830 to 2109; other times become the nearest of these
_EARLIEST, _LATEST = -(1 << 42), (1 << 42) - 1
_SPACELESS = re.compile(f"[{SPACELESS_SCRIPTS}]+")
_OF_INPUT = "▸"  # before the words of the input in the index; a symbol is a word of its own, so no word begins with it


def _to_tsvector(words: ColumnElement[str]) -> ColumnElement[Any]:
    return func.array_to_tsvector(func.string_to_array(words, " "))


_INDEX = table("log_words", column("rowid", BigInteger), column("words"))
_SEARCH = table("log_search", column("docid"), column("log_seq"), column("words"))
_WORDS = bindparam("words", type_=Text)
_DOC_ID = (
    bindparam("milliseconds", type_=BigInteger)
    .bitwise_lshift(_SEQUENCE_BITS)
    .bitwise_or(Log.seq.bitwise_and(_SEQUENCE_MASK))
)
_BY_ID = Log.id == bindparam("id")
_BY_SEQ = _SEARCH.c.log_seq == bindparam("key")
_INSERT_SQLITE = insert(_SEARCH).from_select(
    ["docid", "log_seq", "words"], select(_DOC_ID, Log.seq, _WORDS).where(_BY_ID)
)
# VALUES, because FTS5 flushes its pending terms to disk after each row that a trigger or INSERT … SELECT adds
_INDEX_SQLITE = insert(_INDEX).values(rowid=select(_DOC_ID).where(_BY_ID).scalar_subquery(), words=_WORDS)
_NEW_ROWS = from_arrays({"id": Text(), "words": Text()})
_INSERT_POSTGRESQL = insert(_SEARCH).from_select(
    ["log_seq", "words"], select(Log.seq, _to_tsvector(_NEW_ROWS.c.words)).join(_NEW_ROWS, Log.id == _NEW_ROWS.c.id)
)
# Adds logs to the word index. The parameters are `id`, `words` (of `extract_words`), `milliseconds` (of `index_time`)
INSERT_WORDS = CompiledWrite([_INSERT_SQLITE, _INDEX_SQLITE], _INSERT_POSTGRESQL)
_UPDATE_SQLITE = update(_SEARCH).where(_BY_SEQ).values(words=_WORDS)
_UPDATE_POSTGRESQL = update(_SEARCH).where(_BY_SEQ).values(words=_to_tsvector(_WORDS))


class _Separators(dict[int, str]):
    """A table for `str.translate`: keeps characters of words, puts spaces around symbols, replaces others by spaces.

    It is filled as characters are met, and emptied when it has `_TABLE_MAX`: all that exist would take 100 MB.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Cf" or 0xFE00 <= code <= 0xFE0F:  # joiners and variation selectors, which are invisible
            replacement = " " if code == 0x200B else ""  # a zero-width space separates words
        elif category == "So":
            replacement = f" {character} "
        else:
            replacement = character if category[0] in "LMN" or category == "Co" else " "
        if len(self) >= _TABLE_MAX:
            self.clear()
        self[code] = replacement
        return replacement


_SEPARATORS = _Separators()


def init_app(app: Flask, config: Config) -> None:
    """Store in the app's configuration whether inputs are indexed."""
    app.config["INDEX_INPUT"] = config.index_input


def index_words(
    output: str | None, notes: str | None, input_text: str | None = None, input_format: str | None = None
) -> str:
    """Return the words of a log for the index, with those of its input if the setting says so."""
    is_indexed = current_app.config["INDEX_INPUT"] and input_text is not None
    return extract_words(output, notes, of_input=find_question(input_text, input_format) if is_indexed else None)


def extract_words(*texts: str | None, of_input: str | None = None) -> str:
    """Return the distinct folded words of the texts, joined by spaces, for the index.

    Words that SQLite's index would take too long for are left out, on both databases: text of people and programs has
    a dozen of them in a bucket at most.
    """
    words: Collection[str] = dict.fromkeys(chain.from_iterable(_split(fold(text)) for text in texts if text))
    if of_input:
        words = {**dict.fromkeys(words), **dict.fromkeys(_OF_INPUT + word for word in _split(fold(of_input)))}
    if len(words) > _UNCROWDED_MAX:
        words = drop_crowded(words, _BUCKET_MAX)
    joined = " ".join(words)
    if len(joined) * 4 <= _WORDS_MAX_BYTES or len(joined.encode()) <= _WORDS_MAX_BYTES:
        return joined
    return joined.encode()[:_WORDS_MAX_BYTES].decode(errors="ignore").rpartition(" ")[0]


def parse_terms(query: str) -> list[str]:
    """Return the terms of a query, all of which a log must contain: words, and prefixes of words that end with `*`."""
    terms: dict[str, None] = {}
    *starred, last = fold(query).split("*")
    for piece in starred:
        words = _split(piece, is_query=True)
        ends_in_word = bool(words) and not piece.translate(_SEPARATORS).endswith(" ")
        if ends_in_word and not words[-1].endswith("*"):
            words[-1] += "*"
        terms |= dict.fromkeys(words)
    return list(terms | dict.fromkeys(_split(last, is_query=True)))


def split_text(text: str) -> str:
    """Return the words of a text in their order, each between blanks, for finding words that follow each other.

    Runs of characters of scripts without spaces are whole, and words of their own.
    """
    folded = fold(text)
    words = folded.translate(_SEPARATORS)
    if not folded.isascii():
        words = _SPACELESS.sub(r" \g<0> ", words)
    return f" {' '.join(words.split())} "


def is_spaceless(character: str) -> bool:
    """Return whether a character is of a script without spaces between words."""
    return _SPACELESS.match(character) is not None


def find_matching(logs: Select[Log], terms: Sequence[str], filters: Mapping[str, Any]) -> Select[Log]:
    """Return the select of those of the logs that contain all terms.

    `since` and `until` among the filters limit the range of SQLite's index that is read; `texts` says in which texts
    of a log the terms are, as far as the index knows: it does not tell output and notes apart.
    """
    texts = filters.get("texts", DEFAULT_TEXTS)
    marks = [""] * (OUTPUT in texts or NOTES in texts) + [_OF_INPUT] * (INPUT in texts)
    statement = logs.join(_SEARCH, _SEARCH.c.log_seq == Log.seq)
    if not is_sqlite():
        return statement.where(
            _SEARCH.c.words.op("@@", is_comparison=True)(cast(_write_tsquery(terms, marks), TSQUERY))
        )
    statement = statement.join(_INDEX, _INDEX.c.rowid == _SEARCH.c.docid)
    statement = statement.where(literal_column("log_words").op("MATCH", is_comparison=True)(_write_match(terms, marks)))
    if "since" in filters:
        statement = statement.where(_INDEX.c.rowid >= doc_id(index_time(filters["since"]), 0))
    if "until" in filters and index_time(filters["until"]) < _LATEST:
        statement = statement.where(_INDEX.c.rowid < doc_id(index_time(filters["until"]), 0))
    return statement


@dataclass(frozen=True)
class WordIndexOrder(Order):
    """The order by time and sequence number, by the row ids of SQLite's word index."""

    def sort(self, select: Select[Any]) -> Select[Any]:
        """Return the select, sorted by row id."""
        return select.order_by(_INDEX.c.rowid.asc() if self.is_ascending else _INDEX.c.rowid.desc())

    def start_after(self, select: Select[Any], cursor: str) -> Select[Any]:
        """Return the select of the rows after the row of the cursor."""
        milliseconds, sequence = split_cursor(cursor)
        row_id, last = _INDEX.c.rowid, doc_id(milliseconds, sequence)
        return select.where(row_id > last if self.is_ascending else row_id < last)


def index_time(moment: datetime) -> int:
    """Return a time as the index stores it: in milliseconds since 1970, at most the year 2109."""
    return min(clock.to_number(moment), _LATEST)


def update_words_statement() -> Update:
    """Return the statement that replaces a log's indexed words; its parameters are `key` (the `seq`) and `words`."""
    return _UPDATE_SQLITE if is_sqlite() else _UPDATE_POSTGRESQL


def write_tsvector(words: str) -> str:
    """Return PostgreSQL's text form of the `tsvector` of a log's words, which are in the form of `extract_words`."""
    # Sorted by code points, which have the order of UTF-8 bytes. Words have no characters that need escaping
    return " ".join(f"'{word}'" for word in sorted(words.split()))


def _split(folded: str, *, is_query: bool = False) -> list[str]:
    """Return the words of a folded text. Runs of characters of scripts without spaces are split into pairs.

    For a text, the pairs of such a run are every character with the following one, and the last character alone. For a
    query, they are the pairs only; a single character is a prefix.
    """
    words = folded.translate(_SEPARATORS).split()
    if not folded.isascii() and _SPACELESS.search(folded):
        words = [part for word in words for part in _split_runs(word, is_query)]
    return [word[:WORD_MAX] for word in words] if max(map(len, words), default=0) > WORD_MAX else words


def _split_runs(word: str, is_query: bool) -> Iterator[str]:
    """Yield the parts of a word: runs of characters of scripts without spaces as pairs, the rest unchanged."""
    end = 0
    for run in _SPACELESS.finditer(word):
        if run.start() > end:
            yield word[end : run.start()]
        yield from _split_run(run.group(), is_query)
        end = run.end()
    if end < len(word):
        yield word[end:]


def _split_run(run: str, is_query: bool) -> Iterator[str]:
    if not is_query:
        yield from (run[at : at + 2] for at in range(len(run)))
    elif len(run) == 1:
        yield f"{run}*"
    else:
        yield from islice((run[at : at + 2] for at in range(len(run))), len(run) - 1)


def _write_match(terms: Sequence[str], marks: Sequence[str]) -> str:
    """Return the terms as an FTS5 query. Words have no characters that are operators of its syntax.

    Each term may be behind any of the marks.
    """

    def write(term: str) -> str:
        return f'"{term[:-1]}" *' if term.endswith("*") else f'"{term}"'

    return " AND ".join(f"({' OR '.join(write(mark + term) for mark in marks)})" for term in terms)


def _write_tsquery(terms: Sequence[str], marks: Sequence[str]) -> str:
    """Return the terms as a `tsquery` of PostgreSQL, as `_write_match` does."""

    def write(term: str) -> str:
        return f"'{term[:-1]}':*" if term.endswith("*") else f"'{term}'"

    return " & ".join(f"({' | '.join(write(mark + term) for mark in marks)})" for term in terms)


def doc_id(milliseconds: int, sequence: int) -> int:
    """Return the row id of a log in SQLite's index: time in the upper bits, sequence number in the lower ones."""
    return (min(max(milliseconds, _EARLIEST), _LATEST) << _SEQUENCE_BITS) | (sequence & _SEQUENCE_MASK)
