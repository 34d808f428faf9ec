"""Search over prompts: parts of words, in any script; `ranking` has their order.

Texts and queries are folded alike (compatibility forms, then case, by the Unicode tables and not by the database),
so that a word matches where it is a substring of the folded text, and both databases answer the same.

On SQLite two FTS5 indices serve it. `prompt_trigrams` finds words of three characters and more. Shorter words find
nothing there, so `prompt_grams` holds every single character and every pair that a text has, each written as one
token of hexadecimal digits. On PostgreSQL the same grams serve words of any length, by indices that need no extension:
a text that holds all pairs of a word is then read to see whether it holds the word. So many contents have all pairs of
a long word that there is an index over their trigrams, too, for the words of contents alone.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Text,
    and_,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import ARRAY, array

from promptcrafter.database.base import Base
from promptcrafter.database.session import is_sqlite
from promptcrafter.prompts.models import SearchText
from promptcrafter.text import fold

MAX_WORDS = 32
_GRAM_MAX = 2  # characters; FTS5's trigram tokenizer sees only longer words
FIELDS = ("title", "tags", "content")
TEXTS = Base.metadata.tables[SearchText.__tablename__]  # a class' attributes make a statement dearer than columns do
Operator = Literal["AND", "OR"]


def words_of(query: str) -> list[str]:
    """Split a query at white space into its distinct folded words."""
    return list(dict.fromkeys(fold(query).split()))


def search_columns(title: str, tags: Iterable[str], content: str) -> dict[str, str]:
    """Return the columns of a prompt's `SearchText`."""
    folded = {"title": fold(title), "tags": fold("\n".join(tags)), "content": fold(content)}
    return folded | {f"{field}_grams": _grams(value) for field, value in folded.items()}


def holds(words: Sequence[str], fields: Sequence[str], operator: Operator) -> ColumnElement[bool]:
    """Tell whether a `SearchText` has all (AND) or any (OR) of the words in the fields taken together, by its texts."""
    return _combine([or_(*(_has(field, word) for field in fields)) for word in words], operator)


def matches(words: Sequence[str], fields: Sequence[str], operator: Operator) -> ColumnElement[bool]:
    """Tell the same as `holds`, by the indices."""
    if is_sqlite():
        return _matches_sqlite(words, fields, operator)
    # Trigrams only where nothing but their index can find the prompts: to make those of a text for each row takes long
    has_grams = _has_trigrams if fields == ["content"] else _has_pairs
    # apart from the texts, so that PostgreSQL does not read the grams again of what their index has found
    indexed = [or_(*(has_grams(field, word) for field in fields)) for word in words]
    return and_(_combine(indexed, operator), holds(words, fields, operator))


def _matches_sqlite(words: Sequence[str], fields: Sequence[str], operator: Operator) -> ColumnElement[bool]:
    long = [_quote(word) for word in words if len(word) > _GRAM_MAX]
    short = [_quote(_token(word)) for word in words if len(word) <= _GRAM_MAX]
    found = []
    if long:
        found.append(_in_index("prompt_trigrams", f"{{{' '.join(fields)}}} : ({f' {operator} '.join(long)})"))
    if short:
        columns = " ".join(f"{field}_grams" for field in fields)
        found.append(_in_index("prompt_grams", f"{{{columns}}} : ({f' {operator} '.join(short)})"))
    return _combine(found, operator)


def _in_index(index: str, expression: str) -> ColumnElement[bool]:
    fts = table(index, column("rowid"))
    return TEXTS.c.seq.in_(select(fts.c.rowid).where(literal_column(index).op("MATCH")(expression)))


def _quote(token: str) -> str:
    """Make a token an FTS5 string, in which nothing has a meaning."""
    return '"' + token.replace('"', '""') + '"'


def _combine(found: Sequence[ColumnElement[bool]], operator: Operator) -> ColumnElement[bool]:
    return and_(*found) if operator == "AND" else or_(*found)


def _has(field: str, word: str) -> ColumnElement[bool]:
    position = func.instr if is_sqlite() else func.strpos
    return position(TEXTS.c[field], word) > 0


def _has_trigrams(field: str, word: str) -> ColumnElement[bool]:
    """Tell by PostgreSQL's index which texts have all trigrams of a word, or its pairs if it has none."""
    if len(word) <= _GRAM_MAX:
        return _has_pairs(field, word)
    trigrams = ["".join(found).encode() for found in zip(word, word[1:], word[2:], strict=False)]
    return _contains(func.search_trigrams(TEXTS.c[field]), cast(array(trigrams), ARRAY(LargeBinary)))


def _has_pairs(field: str, word: str) -> ColumnElement[bool]:
    """Tell by PostgreSQL's index which texts have all pairs of a word, or its only character."""
    pairs = [_token(a + b) for a, b in pairwise(word)] or [_token(word)]
    # written as in the index, with a literal blank: a bound one would keep PostgreSQL from using it
    grams = func.string_to_array(TEXTS.c[f"{field}_grams"], literal_column("' '"))
    return _contains(grams, cast(array(pairs), ARRAY(Text)))


def _contains(whole: ColumnElement[Any], part: ColumnElement[Any]) -> ColumnElement[bool]:
    return whole.op("@>", is_comparison=True)(part)


def _grams(text: str) -> str:
    """Return the tokens of all single characters and pairs in a text, white space aside, each once."""
    grams = set(text) | {a + b for a, b in pairwise(text)}
    return " ".join(sorted(_token(gram) for gram in grams if not any(map(str.isspace, gram))))


def _token(gram: str) -> str:
    return gram.encode().hex()
