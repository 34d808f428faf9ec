"""The order of search, and how a page of it is read without finding all that matches.

A prompt's relevance is one of few levels, and within a level the newest come first. So a page is read level by level,
and each level in two steps: first from the owner's newest prompts, which are walked through once for all levels, then
from the older ones, by the index. One statement has all steps, and the database takes them until the page is full. A
word that many prompts have is found by the walk, one that few have by the index, and nobody has to guess which it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import CTE, ColumnElement, Label, Select, case, false, func, literal, select, union_all

from promptcrafter.paging import Columns, Order
from promptcrafter.prompts.models import Prompt, SearchText
from promptcrafter.prompts.search import FIELDS, holds, matches, unindexed

_WALKED = 2000  # prompts: a page of 20 of what one in a hundred has, in less time than the index takes
_WALKED_A_ROW = 5  # prompts for each row of larger pages
_HAS_ALL = 3  # the relevance of a prompt that has all words, to which that of the best field with any is added
_OF_FIELD = {"title": 2, "tags": 1, "content": 0}
_LEVELS = range(_HAS_ALL + 2, -1, -1)
_NEWEST = Order((Prompt.created_at, Prompt.seq))


@dataclass(frozen=True)
class BestFirst(Order):
    """Prompts with all words come first, then those with a word in the title, then in a tag; then the newest."""

    owner_id: str = ""
    words: Sequence[str] = ()

    @classmethod
    def of(cls, owner_id: str, words: Sequence[str]) -> Self:
        """Return the order of the owner's prompts that have any of the words."""
        return cls((_relevance(words), Prompt.created_at, Prompt.seq), owner_id=owner_id, words=words)

    def find_matching(self) -> Select[Prompt]:
        """Return the owner's prompts that have any of the words."""
        found = select(Prompt).join(SearchText, SearchText.seq == Prompt.seq)
        is_owned = unindexed(Prompt.__table__.c.owner_id) == self.owner_id
        return found.where(is_owned, matches(self.words, FIELDS, "OR"))

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
        newest = Select[Any](Prompt.seq, Prompt.created_at).where(Prompt.owner_id == self.owner_id)
        newest = _NEWEST.begin_after(newest, behind) if behind else newest
        walk = _NEWEST.sort(newest).limit(_length(count)).cte("walk_behind" if behind else "walk")
        found = select(walk, self.columns[0]).join(SearchText, SearchText.seq == walk.c.seq)
        passed = found.where(holds(self.words, FIELDS, "OR")).cte(f"{walk.name}_passed")
        order = passed.c.created_at.desc(), passed.c.seq.desc()
        for level in levels:
            yield select(passed).where(passed.c.relevance == level).order_by(*order)
            yield self._look_up(level, behind, walk, count)

    def _look_up(self, level: int, behind: str, walk: CTE, count: int) -> Select[Any]:
        """Return the newest prompts of a level that the walk has not come to."""
        found = Select[Any](Prompt.seq, Prompt.created_at, literal(level).label("relevance"))
        found = found.join(SearchText, SearchText.seq == Prompt.seq).where(
            # a walk that has come to the end leaves none, and the index alone knows of no owner
            select(func.count()).select_from(walk).scalar_subquery() == _length(count),
            # in no index: an owner whom one walk has not read has many, however few the statistics tell of
            Prompt.owner_id.concat("") == self.owner_id,
            Prompt.seq.not_in(select(walk.c.seq)),
            *self._index(level),
            self.columns[0] == level,
        )
        return _NEWEST.sort(_NEWEST.begin_after(found, behind) if behind else found).limit(count)

    def _index(self, level: int) -> Iterator[ColumnElement[bool]]:
        """Yield what finds all prompts of a level by the index, and some of others."""
        has_all, of_field = divmod(level, _HAS_ALL)
        (field,) = (field for field, value in _OF_FIELD.items() if value == of_field)
        yield matches(self.words, [field], "AND" if has_all and not of_field else "OR")
        if has_all and of_field and len(self.words) > 1:
            yield matches(self.words, FIELDS, "AND")


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
    best = union_all(*subqueries).limit(count).subquery("best")
    columns = best.c.relevance, best.c.created_at, best.c.seq
    found = select(Prompt).join(best, best.c.seq == Prompt.seq)
    return found.order_by(*(column.desc() for column in columns)), columns
