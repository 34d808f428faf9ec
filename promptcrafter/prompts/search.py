"""Search over prompts: parts of words, in any script, ranked by where they stand.

Texts and queries are folded alike (compatibility forms, then case, by the Unicode tables and not by the database),
so that a word matches where it is a substring of the folded text, and both databases answer the same.

On SQLite two FTS5 indices serve it. `prompt_trigrams` finds words of three characters and more. Shorter words find
nothing there, so `prompt_grams` holds every single character and every pair that a text has, each written as one
token of hexadecimal digits. On PostgreSQL the same grams serve words of any length, by indices that need no extension:
a text that holds all pairs of a word is then read to see whether it holds the word.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import ARRAY, array

from promptcrafter import db
from promptcrafter.prompts.models import Prompt, SearchText

MAX_WORDS = 32
_GRAM_MAX = 2  # characters; FTS5's trigram tokenizer sees only longer words
_FIELDS = ("title", "tags", "content")
Operator = Literal["AND", "OR"]


def fold(text: str) -> str:
    """Return the form in which texts are compared (NFKC, case folded, NFKC again: UAX #31, R4)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def words_of(query: str) -> list[str]:
    """Split a query at white space into its distinct folded words."""
    return list(dict.fromkeys(fold(query).split()))


def search_columns(title: str, tags: Iterable[str], content: str) -> dict[str, str]:
    """Return the columns of a prompt's `SearchText`."""
    folded = {"title": fold(title), "tags": fold("\n".join(tags)), "content": fold(content)}
    return folded | {f"{field}_grams": _grams(value) for field, value in folded.items()}


def find_matching(owner_id: str, words: Sequence[str]) -> tuple[Select[Prompt], list[SQLColumnExpression[Any]]]:
    """Return the owner's prompts that hold any of the words, and what to sort them by, descending.

    Prompts with all words come first, then those with a word in the title, then in a tag; then the newest.
    """
    matches = _matches_sqlite if db.is_sqlite() else _matches_postgresql
    in_fields = case((matches(words, ["title"], "OR"), 2), (matches(words, ["tags"], "OR"), 1), else_=0)
    relevance = case((matches(words, _FIELDS, "AND"), 3), else_=0) + in_fields
    found = select(Prompt).where(Prompt.owner_id == owner_id, matches(words, _FIELDS, "OR"))
    return found, [relevance.label("relevance"), Prompt.created_at, Prompt.seq]


def _matches_sqlite(words: Sequence[str], fields: Sequence[str], operator: Operator) -> ColumnElement[bool]:
    """Tell which prompts hold all (AND) or any (OR) of the words in the fields taken together."""
    long = [_quote(word) for word in words if len(word) > _GRAM_MAX]
    short = [_quote(_token(word)) for word in words if len(word) <= _GRAM_MAX]
    found = []
    if long:
        found.append(_in_index("prompt_trigrams", f"{{{' '.join(fields)}}} : ({f' {operator} '.join(long)})"))
    if short:
        columns = " ".join(f"{field}_grams" for field in fields)
        found.append(_in_index("prompt_grams", f"{{{columns}}} : ({f' {operator} '.join(short)})"))
    return and_(*found) if operator == "AND" else or_(*found)


def _in_index(index: str, expression: str) -> ColumnElement[bool]:
    fts = table(index, column("rowid"))
    return Prompt.seq.in_(select(fts.c.rowid).where(literal_column(index).op("MATCH")(expression)))


def _quote(token: str) -> str:
    """Make a token an FTS5 string, in which nothing has a meaning."""
    return '"' + token.replace('"', '""') + '"'


def _matches_postgresql(words: Sequence[str], fields: Sequence[str], operator: Operator) -> ColumnElement[bool]:
    """Tell the same as `_matches_sqlite`."""
    found = [or_(*(_holds(field, word) for field in fields)) for word in words]
    return Prompt.seq.in_(select(SearchText.seq).where(and_(*found) if operator == "AND" else or_(*found)))


def _holds(field: str, word: str) -> ColumnElement[bool]:
    pairs = [_token(a + b) for a, b in pairwise(word)] or [_token(word)]
    # written as in the index, with a literal blank: a bound one would keep PostgreSQL from using it
    grams = func.string_to_array(getattr(SearchText, f"{field}_grams"), literal_column("' '"))
    indexed = grams.op("@>", is_comparison=True)(cast(array(pairs), ARRAY(Text)))
    return and_(indexed, getattr(SearchText, field).contains(word, autoescape=True))


def _grams(text: str) -> str:
    """Return the tokens of all single characters and pairs in a text, white space aside, each once."""
    grams = set(text) | {a + b for a, b in pairwise(text)}
    return " ".join(sorted(_token(gram) for gram in grams if not any(map(str.isspace, gram))))


def _token(gram: str) -> str:
    return gram.encode().hex()
