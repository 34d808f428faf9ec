"""The order of search, and how a page of it is read without finding all that matches.

A prompt's relevance is one of few levels, and within a level the newest come first. So a page is read level by level,
and each level in two steps: first from the owner's newest prompts, which are walked through once for all levels, then
from the older ones, by the index. One statement has all steps, and the database takes them until the page is full. A
word that many prompts have is found by the walk, one that few have by the index, and nobody has to guess which it is.

PostgreSQL must not have to guess either. With statistics from before an import, it takes every table for one of a row
or none, any way to that row for as cheap as the best, and reads all rows again for each of others. So each part is
found once, apart from what is done with it, and what belongs to its rows comes by primary keys alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import (
    CTE,
    ColumnElement,
    Label,
    Select,
    SelectBase,
    SQLColumnExpression,
    case,
    false,
    func,
    literal,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.orm import aliased

from promptcrafter.auth.access import owned_by
from promptcrafter.auth.principal import Principal
from promptcrafter.database.base import Base
from promptcrafter.database.keyset import Columns, Order
from promptcrafter.database.session import is_sqlite, unindexed
from promptcrafter.prompts.models import Prompt
from promptcrafter.prompts.search import FIELDS, TEXTS, holds, matches

_WALKED = 2000  # prompts: a page of 20 of what one in a hundred has, in less time than the index takes
_WALKED_A_ROW = 5  # prompts for each row of larger pages
_HAS_ALL = 3  # the relevance of a prompt that has all words, to which that of the best field with any is added
_OF_FIELD = {"title": 2, "tags": 1, "content": 0}
_LEVELS = range(_HAS_ALL + 2, -1, -1)
_PROMPTS = Base.metadata.tables[Prompt.__tablename__]
_NEWEST = Order((_PROMPTS.c.created_at, _PROMPTS.c.seq))


@dataclass(frozen=True, kw_only=True)
class BestFirst(Order):
    """Prompts with all words come first, then those with a word in the title, then in a tag; then the newest."""

    principal: Principal
    words: Sequence[str]
    relevance: Label[int]
    matching: Select[Any]  # the owner's prompts that have any of the words

    @classmethod
    def of(cls, principal: Principal, words: Sequence[str]) -> Self:
        """Return the order of the owner's prompts that have any of the words."""
        relevance = _relevance(words)
        found = _once(select(TEXTS.c.seq, relevance).where(matches(words, FIELDS, "OR")), "found")
        prompt, matching = _read_each(found)
        return cls(
            columns=(found.c.relevance, prompt.created_at, prompt.seq),
            principal=principal,
            words=words,
            relevance=relevance,
            matching=matching.where(unindexed(prompt.owner_id.expression) == principal.user_id),
        )

    def page(self, select: Select[Any], cursor: str | None, count: int) -> tuple[Select[Any], Columns]:
        """Return so many of the prompts that have any of the words, from behind the one that the cursor names."""
        return _join(list(self._steps(cursor, count)), count)

    def _steps(self, cursor: str | None, count: int) -> Iterator[Select[Any]]:
        first, _, behind = (cursor or f"{_LEVELS[0] + 1}").partition("-")
        # who has the only word, has all words
        levels = [level for level in _LEVELS if len(self.words) > 1 or level >= _HAS_ALL]
        if int(first) in levels:
            yield from self._read([int(first)], behind, count)
        yield from self._read([level for level in levels if level < int(first)], "", count)

    def _read(self, levels: Sequence[int], behind: str, count: int) -> Iterator[Select[Any]]:
        """Yield the steps that read prompts of these levels, from behind the one of that time and sequence."""
        newest = Select[Any](_PROMPTS.c.seq, _PROMPTS.c.created_at).where(owned_by(self.principal, _PROMPTS.c))
        newest = _NEWEST.begin_after(newest, behind) if behind else newest
        walk = _once(_NEWEST.sort(newest).limit(_length(count)), "walk_behind" if behind else "walk")
        relevance = select(self.relevance).where(TEXTS.c.seq == walk.c.seq, holds(self.words, FIELDS, "OR"))
        passed = _once(select(walk, relevance.scalar_subquery().label("relevance")), f"{walk.name}_passed")
        order = passed.c.created_at.desc(), passed.c.seq.desc()
        looked_up = self._look_up(walk, count)
        for level in levels:
            yield select(passed).where(passed.c.relevance == level).order_by(*order)
            yield self._take_older(looked_up, level, walk, count)

    def _look_up(self, walk: CTE, count: int) -> Select[Any]:
        """Return sequence and time of prompts, the time NULL of somebody else's, if a walk has not come to its end."""
        own = _PROMPTS.alias()
        # an index that has the owner, the time and the sequence, but is sorted by none alone, knows of no version
        time = select(case((owned_by(self.principal, own.c), own.c.created_at))).where(own.c.version > 0)
        created_at = _by_key(time, own.c.seq, TEXTS.c.seq).scalar_subquery().label("created_at")
        is_needed = select(func.count()).select_from(walk).scalar_subquery() == _length(count)
        return select(TEXTS.c.seq, created_at).where(is_needed)

    def _take_older(self, looked_up: Select[Any], level: int, walk: CTE, count: int) -> Select[Any]:
        """Return the newest prompts of a level that the walk has not come to."""
        found = looked_up.where(*self._index(level), self.relevance == level)
        older = _once(found, f"{walk.name}_older_{level}")
        oldest = select(walk.c.created_at, walk.c.seq).order_by(walk.c.created_at, walk.c.seq).limit(1)
        left = Select[Any](older.c.seq, older.c.created_at, literal(level).label("relevance"))
        left = left.where(tuple_(older.c.created_at, older.c.seq) < oldest.scalar_subquery())
        return left.order_by(older.c.created_at.desc(), older.c.seq.desc()).limit(count)

    def _index(self, level: int) -> Iterator[ColumnElement[bool]]:
        """Yield what finds all prompts of a level by the index, and some of others."""
        has_all, of_field = divmod(level, _HAS_ALL)
        (field,) = (field for field, value in _OF_FIELD.items() if value == of_field)
        yield matches(self.words, [field], "AND" if has_all and not of_field else "OR")
        if has_all and of_field and len(self.words) > 1:
            yield matches(self.words, FIELDS, "AND")


def _once(found: SelectBase, name: str) -> CTE:
    """Let PostgreSQL find rows once, and apart from the rest of the statement."""
    return found.cte(name).prefix_with("MATERIALIZED", dialect="postgresql")


def _relevance(words: Sequence[str]) -> Label[int]:
    best = case(*((holds(words, [field], "OR"), value) for field, value in _OF_FIELD.items() if value), else_=0)
    return (case((holds(words, FIELDS, "AND"), _HAS_ALL), else_=0) + best).label("relevance")


def _length(count: int) -> int:
    """Return how many prompts are walked through for so many rows."""
    return max(_WALKED, _WALKED_A_ROW * count)


def _join(steps: Sequence[Select[Any]], count: int) -> tuple[Select[Any], Columns]:
    """Return so many prompts of the steps: one is taken only when those before it have too few."""
    if not steps:
        return select(Prompt).where(false()), (Prompt.created_at, Prompt.seq)
    subqueries = (select(step.subquery(f"step_{number}")) for number, step in enumerate(steps))
    best = _once(union_all(*subqueries).limit(count), "best")
    columns = best.c.relevance, best.c.created_at, best.c.seq
    return _read_each(best)[1].order_by(*(column.desc() for column in columns)), columns


def _read_each(found: CTE) -> tuple[type[Prompt], Select[Any]]:
    """Return the prompts whose sequences were found, and a select of them."""
    if is_sqlite():
        return Prompt, select(Prompt).join(found, found.c.seq == Prompt.seq)
    prompt = aliased(Prompt, _by_key(select(Prompt), Prompt.seq, found.c.seq).lateral("prompt"))
    return prompt, select(prompt).select_from(found).join(prompt, true())


def _by_key(rows: Select[Any], key: SQLColumnExpression[int], value: ColumnElement[int]) -> Select[Any]:
    """Return the row whose primary key has that value, which is there, and find it by that key alone.

    An equation might be looked up in an index that has the key as its last column, from end to end. Since there is such
    a row, it is also the first from there on, and only the index of the key has that order.
    """
    return rows.where(key >= value).order_by(key).limit(1)
