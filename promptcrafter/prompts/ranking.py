"""The order of search results, and how a page of them is read without finding all matching prompts (decision 22).

The relevance of a prompt is one of six levels, and within a level the newest prompts come first:

| Level | The prompt contains | The best field with a word is |
|---|---|---|
| 5, 4, 3 | all words | the title, a tag, the content |
| 2, 1, 0 | some of the words | the title, a tag, the content |

With one word, "any" equals "all", so the lower levels are empty.

A page is read level by level, and each level in two steps: recent prompts first, then the index. The recent prompts are
the newest 2,000 of the workspace (more for large pages). They are read once for all levels, and their texts are
compared with the words. Only if the page is not full, older prompts of the level are looked up in the word index. A
page of a common word is filled by the recent prompts, and the index finds a rare word fast; no estimate of a word's
frequency is needed.
All steps are parts of one UNION ALL with a LIMIT, which the database evaluates until the page is full.

The statement also has to be fast when PostgreSQL's planner has outdated statistics, from before an import: it then
assumes that tables are almost empty, rates all access paths alike, and may read a whole table again for each row of
another. So each part is a materialized CTE, which is computed once, and further columns of its rows are read by primary
key, in subqueries that cannot become joins.
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

from promptcrafter.database.base import Base
from promptcrafter.database.keyset import Columns, Order
from promptcrafter.database.session import is_sqlite, unindexed
from promptcrafter.problems import Invalid
from promptcrafter.prompts.models import Prompt
from promptcrafter.prompts.search import FIELDS, MAX_WORDS, TEXTS, contains_words, index_matches, parse_words
from promptcrafter.workspaces.access import in_current_workspace
from promptcrafter.workspaces.principal import Principal

# The number of recent prompts: enough to fill a page of 20 with a word that one prompt in a hundred contains, and read
# in less time than one look-up in the index takes
_RECENT = 2000
_RECENT_PER_ROW = 5  # for large pages: at least so many recent prompts for each row of the page
_ALL_WORDS = 3  # added to the level of the best field if a prompt contains all words
_FIELD_LEVELS = {"title": 2, "tags": 1, "content": 0}
_LEVELS = range(_ALL_WORDS + 2, -1, -1)  # from the most to the least relevant
_PROMPTS = Base.metadata.tables[Prompt.__tablename__]
_NEWEST_FIRST = Order((_PROMPTS.c.created_at, _PROMPTS.c.seq))


def find_best(principal: Principal, query: str) -> "BestFirst":
    """Return the order of what a query finds in the current workspace. Raises 400 for too many words.

    The query must have a word.
    """
    words = parse_words(query)
    if len(words) > MAX_WORDS:
        raise Invalid({"q": [f"must have at most {MAX_WORDS} words"]})
    return BestFirst.of(principal, words)


@dataclass(frozen=True, kw_only=True)
class BestFirst(Order):
    """The order of the workspace's prompts that contain any of the words: by relevance level, then the newest first."""

    principal: Principal
    words: Sequence[str]
    relevance: Label[int]
    matching: Select[Any]  # all of these prompts, not sorted

    @classmethod
    def of(cls, principal: Principal, words: Sequence[str]) -> Self:
        """Return the order for the current workspace and folded words, of which there is at least one."""
        relevance = _relevance(words)
        matches = _materialized(select(TEXTS.c.seq, relevance).where(index_matches(words, FIELDS, "OR")), "matches")
        prompt, matching = _select_prompts(matches)
        return cls(
            columns=(matches.c.relevance, prompt.created_at, prompt.seq),
            principal=principal,
            words=words,
            relevance=relevance,
            matching=matching.where(unindexed(prompt.workspace_id.expression) == principal.workspace_id),
        )

    def page(self, select: Select[Any], cursor: str | None, count: int) -> tuple[Select[Any], Columns]:
        """Return a select of the `count` prompts after the row of the cursor, or of the first ones without a cursor.

        With it come the columns whose values are the cursor of a row: relevance, time and sequence number. The argument
        `select` is not used: the page is built of other selects than a complete list.
        """
        return _union_steps(list(self._steps(cursor, count)), count)

    def _steps(self, cursor: str | None, count: int) -> Iterator[Select[Any]]:
        """Yield the steps of a page: the rest of the level that the cursor is in, then all lower levels."""
        first, _, position = (cursor or f"{_LEVELS[0] + 1}").partition("-")
        # With one word, "any" equals "all", so the lower levels are empty
        levels = [level for level in _LEVELS if len(self.words) > 1 or level >= _ALL_WORDS]
        if int(first) in levels:
            yield from self._read([int(first)], position, count)
        yield from self._read([level for level in levels if level < int(first)], "", count)

    def _read(self, levels: Sequence[int], position: str, count: int) -> Iterator[Select[Any]]:
        """Yield the two steps of each of the levels.

        `position` is the part of a cursor that has time and sequence number: only prompts after it are read, or all
        prompts if it is empty.
        """
        newest = Select[Any](_PROMPTS.c.seq, _PROMPTS.c.created_at).where(
            in_current_workspace(self.principal, _PROMPTS.c)
        )
        newest = _NEWEST_FIRST.start_after(newest, position) if position else newest
        newest = _NEWEST_FIRST.sort(newest).limit(_recent_count(count))
        recent = _materialized(newest, "recent_after_cursor" if position else "recent")
        relevance = select(self.relevance).where(TEXTS.c.seq == recent.c.seq, contains_words(self.words, FIELDS, "OR"))
        ranked = _materialized(
            select(recent, relevance.scalar_subquery().label("relevance")), f"{recent.name}_with_relevance"
        )
        order = ranked.c.created_at.desc(), ranked.c.seq.desc()
        look_up = self._look_up(recent, count)
        for level in levels:
            yield select(ranked).where(ranked.c.relevance == level).order_by(*order)
            yield self._older(look_up, level, recent, count)

    def _look_up(self, recent: CTE, count: int) -> Select[Any]:
        """Return a select of sequence number and time of prompts, to which the condition on the words is added.

        The time of other workspaces' prompts is NULL. There are no rows if no prompts are older than the recent ones.
        """
        own = _PROMPTS.alias()
        # `version > 0` is always true. It excludes the index over workspace, time and sequence number, which has no
        # version and would be read from end to end to find one sequence number.
        time = select(case((in_current_workspace(self.principal, own.c), own.c.created_at))).where(own.c.version > 0)
        created_at = _row_with_key(time, own.c.seq, TEXTS.c.seq).scalar_subquery().label("created_at")
        is_needed = select(func.count()).select_from(recent).scalar_subquery() == _recent_count(count)
        return select(TEXTS.c.seq, created_at).where(is_needed)

    def _older(self, look_up: Select[Any], level: int, recent: CTE, count: int) -> Select[Any]:
        """Return the newest `count` prompts of a level that are older than the recent ones."""
        statement = look_up.where(*self._index_conditions(level), self.relevance == level)
        matching = _materialized(statement, f"{recent.name}_look_up_{level}")
        oldest = select(recent.c.created_at, recent.c.seq).order_by(recent.c.created_at, recent.c.seq).limit(1)
        older = Select[Any](matching.c.seq, matching.c.created_at, literal(level).label("relevance"))
        older = older.where(tuple_(matching.c.created_at, matching.c.seq) < oldest.scalar_subquery())
        return older.order_by(matching.c.created_at.desc(), matching.c.seq.desc()).limit(count)

    def _index_conditions(self, level: int) -> Iterator[ColumnElement[bool]]:
        """Yield conditions on the word index that all prompts of a level fulfil, and some of other levels, too."""
        has_all, field_level = divmod(level, _ALL_WORDS)
        (field,) = (field for field, value in _FIELD_LEVELS.items() if value == field_level)
        yield index_matches(self.words, [field], "AND" if has_all and not field_level else "OR")
        if has_all and field_level and len(self.words) > 1:
            yield index_matches(self.words, FIELDS, "AND")


def _materialized(statement: SelectBase, name: str) -> CTE:
    """Return a CTE that PostgreSQL computes once and does not merge into the rest of the statement."""
    return statement.cte(name).prefix_with("MATERIALIZED", dialect="postgresql")


def _relevance(words: Sequence[str]) -> Label[int]:
    """Return the relevance level of a `SearchText` that contains any of the words."""
    best_field = case(
        *((contains_words(words, [field], "OR"), value) for field, value in _FIELD_LEVELS.items() if value), else_=0
    )
    return (case((contains_words(words, FIELDS, "AND"), _ALL_WORDS), else_=0) + best_field).label("relevance")


def _recent_count(count: int) -> int:
    """Return the number of recent prompts that are read for a page of `count` rows."""
    return max(_RECENT, _RECENT_PER_ROW * count)


def _union_steps(steps: Sequence[Select[Any]], count: int) -> tuple[Select[Any], Columns]:
    """Return the first `count` prompts of the steps, and the columns of their cursor.

    The database evaluates a step only if the steps before it have too few rows.
    """
    if not steps:
        return select(Prompt).where(false()), (Prompt.created_at, Prompt.seq)
    subqueries = (select(step.subquery(f"step_{number}")) for number, step in enumerate(steps))
    best = _materialized(union_all(*subqueries).limit(count), "best")
    columns = best.c.relevance, best.c.created_at, best.c.seq
    return _select_prompts(best)[1].order_by(*(column.desc() for column in columns)), columns


def _select_prompts(matches: CTE) -> tuple[type[Prompt], Select[Any]]:
    """Return a select of the prompts whose sequence numbers are in `matches`, and the entity that it selects."""
    if is_sqlite():
        return Prompt, select(Prompt).join(matches, matches.c.seq == Prompt.seq)
    prompt = aliased(Prompt, _row_with_key(select(Prompt), Prompt.seq, matches.c.seq).lateral("prompt"))
    return prompt, select(prompt).select_from(matches).join(prompt, true())


def _row_with_key(rows: Select[Any], key: SQLColumnExpression[int], value: ColumnElement[int]) -> Select[Any]:
    """Return the row whose primary key is `value`; such a row must exist. It is read by the index of the primary key.

    For `key = value` the planner might read another index, in which the key is the last column, from end to end. The
    row is also the first one with `key >= value` in the order of the key, and only the primary key's index has that
    order.
    """
    return rows.where(key >= value).order_by(key).limit(1)
