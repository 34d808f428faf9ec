"""Compare the search indices with what is stored, and rebuild them.

A log is found by its words in `log_search`, a prompt by its texts in `prompt_search`; both are computed here. SQLite
indexes these tables with FTS5; PostgreSQL keeps its indices in step itself. One statement checks or rebuilds an index
of FTS5 and holds the write lock meanwhile: about 0.7 s for 100,000 logs of 26 words. All else is read and written in
small transactions, so that others can write between them.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, Select, Text, cast, column, delete, func, insert, literal, select, table, update
from sqlalchemy.exc import DatabaseError

from promptcrafter.database.base import Base
from promptcrafter.database.deletions import is_present
from promptcrafter.database.session import get_engine, is_sqlite, read_snapshot, request_connection
from promptcrafter.database.transactions import writing
from promptcrafter.logs import search as log_search
from promptcrafter.logs.models import Log
from promptcrafter.logs.store import INDEXED
from promptcrafter.maintenance import Progress
from promptcrafter.maintenance.backup import CHECK_INDEX
from promptcrafter.prompts.models import Prompt, SearchText, Tag
from promptcrafter.prompts.search import search_columns

FTS_TABLES = ("log_words", "prompt_trigrams", "prompt_grams")
_REBUILD = "INSERT INTO {0} ({0}) VALUES ('rebuild')"
_ROWS_AT_ONCE = 50  # each may hold several MiB of text
_RECENT_AT_ONCE = 10
_WORDS_LOOKED_UP = 8
_WORDS = table("log_search", column("docid"), column("log_seq"), column("words"))
_INDEXED = (Log.seq, Log.id, Log.created_at, *(getattr(Log, name) for name in INDEXED))
_TEXTS = Base.metadata.tables[SearchText.__tablename__]


@dataclass
class Comparison:
    """What was compared, by `log` and `prompt`, and how the search differs from it."""

    rows: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)  # rows without an entry in the search table
    stale: Counter[str] = field(default_factory=Counter)  # rows whose entry is of another text
    orphans: int = 0  # entries of logs that are gone
    damaged: list[str] = field(default_factory=list)  # names of FTS5 indices that differ from their table

    @property
    def is_right(self) -> bool:
        return not (self.missing or self.stale or self.orphans or self.damaged)


@dataclass(frozen=True)
class _Kind:
    """What is searched for: how to read a batch of it, and how to write the entries of some rows anew."""

    noun: str
    model: type[Log] | type[Prompt]
    read: Callable[[Connection, Select[Any]], list["_Entry"]]
    write: Callable[[Connection, Sequence["_Entry"]], None]


@dataclass(frozen=True)
class _Entry:
    """A row's entry in its search table as it is, None if there is none, and as it should be."""

    seq: int
    id: str
    actual: Mapping[str, Any] | None
    expected: Mapping[str, Any]

    @property
    def is_right(self) -> bool:
        return self.actual == self.expected


def compare(on_progress: Progress) -> Comparison:
    """Compare the search indices of the database with what is stored.

    `on_progress` is called with the number of rows compared and their total. Raises DBAPIError, and what `writing`
    raises.
    """
    found = Comparison(orphans=_count_orphans())
    counted = _count_rows()
    for kind in _KINDS:
        for entries in _each_batch(kind):
            found.rows[kind.noun] += len(entries)
            for entry in entries:
                if entry.actual is None:
                    found.missing[kind.noun] += 1
                elif not entry.is_right:
                    found.stale[kind.noun] += 1
            on_progress(found.rows.total(), max(counted, found.rows.total()))
    if is_sqlite():
        found.damaged = [name for name in FTS_TABLES if not _is_intact(name)]
    return found


def reindex(on_progress: Progress) -> int:
    """Rebuild the search indices of the database; return the number of entries that were missing or wrong.

    On SQLite the indices of FTS5 are rebuilt first, because a change of an entry fails while they differ from it.
    `on_progress` is called as by `compare`. Raises DBAPIError, and what `writing` raises.
    """
    if is_sqlite():
        for name in FTS_TABLES:
            with writing():
                request_connection().exec_driver_sql(_REBUILD.format(name))
    counted = _count_rows()
    done = mended = 0
    for kind in _KINDS:
        for entries in _each_batch(kind):
            wrong = [entry.seq for entry in entries if not entry.is_right]
            if wrong:
                mended += _mend(kind, wrong)
            done += len(entries)
            on_progress(done, max(counted, done))
    if _count_orphans():
        with writing():
            mended += request_connection().execute(delete(_WORDS).where(_is_orphan())).rowcount
    return mended


def find_recent_fault(connection: Connection, seconds: float) -> bool:
    """Return whether a log is not indexed, as far as that is found in `seconds`: the newest ones are looked at first.

    For SQLite only. Raises DBAPIError.
    """
    deadline = time.monotonic() + seconds
    newest: int | None = connection.scalar(select(func.max(Log.seq)))
    while newest is not None and time.monotonic() < deadline:
        some = select(Log.seq).where(Log.seq <= newest).order_by(Log.seq.desc()).limit(_RECENT_AT_ONCE)
        entries = _read_logs(connection, some)
        if not all(entry.is_right and _is_found(connection, entry) for entry in entries):
            return True
        newest = min(entry.seq for entry in entries) - 1 if entries else None
    return False


def _each_batch(kind: _Kind) -> Iterator[list[_Entry]]:
    """Yield the entries of all rows, some at a time, each time in a transaction of its own."""
    last = 0
    while True:
        seq = kind.model.seq
        some = select(seq).where(seq > last, is_present(kind.model)).order_by(seq).limit(_ROWS_AT_ONCE)
        with read_snapshot() as reader:
            entries = kind.read(reader.connection(), some)
        if not entries:
            return
        yield entries
        last = max(entry.seq for entry in entries)


def _mend(kind: _Kind, wrong: Sequence[int]) -> int:
    """Write the entries of these rows anew where they are still wrong; return how many were."""
    with writing():
        connection = request_connection()
        seq = kind.model.seq
        locked = select(seq).where(seq.in_(wrong), is_present(kind.model)).with_for_update()
        sequences = connection.scalars(locked).all()
        entries = kind.read(connection, select(seq).where(seq.in_(sequences)))
        entries = [entry for entry in entries if not entry.is_right]
        if entries:
            kind.write(connection, entries)
    return len(entries)


def _read_logs(connection: Connection, sequences: Select[Any]) -> list[_Entry]:
    words = cast(_WORDS.c.words, Text)
    doc_id = _WORDS.c.docid if connection.dialect.name == "sqlite" else literal(None)
    columns = (*_INDEXED, words.label("words"), doc_id.label("docid"))
    found = select(*columns).outerjoin(_WORDS, _WORDS.c.log_seq == Log.seq)
    rows = connection.execute(found.where(Log.seq.in_(sequences))).all()
    return [_to_log_entry(row, connection.dialect.name == "sqlite") for row in rows]


def _to_log_entry(row: Row[Any], on_sqlite: bool) -> _Entry:
    words = _words_of(row)
    if on_sqlite:
        expected = {"words": words, "docid": log_search.doc_id(log_search.index_time(row.created_at), row.seq)}
    else:
        expected = {"words": log_search.write_tsvector(words)}
    actual = None if row.words is None else {name: getattr(row, name) for name in expected}
    return _Entry(row.seq, row.id, actual, expected)


def _write_logs(connection: Connection, entries: Sequence[_Entry]) -> None:
    sequences = [entry.seq for entry in entries]
    connection.execute(delete(_WORDS).where(_WORDS.c.log_seq.in_(sequences)))
    rows = connection.execute(select(*_INDEXED).where(Log.seq.in_(sequences))).all()
    log_search.INSERT_WORDS.execute(
        [
            {
                "id": row.id,
                "milliseconds": log_search.index_time(row.created_at),
                "words": _words_of(row),
            }
            for row in rows
        ]
    )


def _words_of(row: Row[Any]) -> str:
    return log_search.index_words(*(getattr(row, name) for name in INDEXED))


def _read_prompts(connection: Connection, sequences: Select[Any]) -> list[_Entry]:
    texts = [column for column in _TEXTS.c if column.name != "seq"]
    found = select(Prompt.seq, Prompt.id, Prompt.title, Prompt.content, _TEXTS.c.seq.label("text_seq"))
    found = found.add_columns(*(text.label(f"stored_{text.name}") for text in texts))
    found = found.outerjoin(_TEXTS, _TEXTS.c.seq == Prompt.seq).where(Prompt.seq.in_(sequences))
    rows = connection.execute(found).all()
    tags: dict[str, list[str]] = {row.id: [] for row in rows}
    query = select(Tag.prompt_id, Tag.name).where(Tag.prompt_id.in_(tags)).order_by(Tag.prompt_id, Tag.position)
    for prompt_id, name in connection.execute(query):
        tags[prompt_id].append(name)
    return [
        _Entry(
            row.seq,
            row.id,
            None if row.text_seq is None else {text.name: getattr(row, f"stored_{text.name}") for text in texts},
            search_columns(row.title, tags[row.id], row.content),
        )
        for row in rows
    ]


def _write_prompts(connection: Connection, entries: Sequence[_Entry]) -> None:
    for entry in entries:
        if entry.actual is None:
            connection.execute(insert(_TEXTS).values(seq=entry.seq, **entry.expected))
        else:
            connection.execute(update(_TEXTS).where(_TEXTS.c.seq == entry.seq).values(**entry.expected))


_KINDS = (
    _Kind("log", Log, _read_logs, _write_logs),
    _Kind("prompt", Prompt, _read_prompts, _write_prompts),
)


def _is_found(connection: Connection, entry: _Entry) -> bool:
    """Return whether SQLite's index has an entry under some of its words."""
    words = list(islice(entry.expected["words"].split(), _WORDS_LOOKED_UP))
    query = "SELECT 1 FROM log_words WHERE log_words MATCH ? AND rowid = ?"
    match = " AND ".join(f'"{word}"' for word in words)
    return not words or connection.exec_driver_sql(query, (match, entry.expected["docid"])).first() is not None


def _is_orphan() -> Any:
    return ~select(Log.seq).where(Log.seq == _WORDS.c.log_seq).exists()


def _count_orphans() -> int:
    with get_engine().connect() as connection:
        return connection.scalar(select(func.count()).select_from(_WORDS).where(_is_orphan())) or 0


def _count_rows() -> int:
    with get_engine().connect() as connection:
        return sum(connection.scalar(select(func.count(kind.model.seq))) or 0 for kind in _KINDS)


def _is_intact(name: str) -> bool:
    """Return whether an index of FTS5 has exactly what its table has; others cannot write meanwhile."""
    with writing():
        try:
            request_connection().exec_driver_sql(CHECK_INDEX.format(name))
        except DatabaseError as error:
            if not str(getattr(error.orig, "sqlite_errorname", "")).startswith("SQLITE_CORRUPT"):
                raise
            return False
    return True
