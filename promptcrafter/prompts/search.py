"""Substring search over prompts, in any script. `ranking` defines the order of the results.

Texts and queries are folded in the same way (compatibility forms, then case, by the Unicode tables of Python and not by
the database). A word matches a text if it is a substring of the folded text, so both databases return the same results.

SQLite uses two FTS5 indices. `prompt_trigrams` finds words of three or more characters. It cannot find shorter ones, so
`prompt_grams` indexes every single character and every pair of characters of a text, each as a token of hexadecimal
digits.

PostgreSQL uses the same grams for words of any length, with GIN indices that need no extension. A text that has all
pairs of a word does not always contain the word, so the text is compared as well. Many contents have all pairs of a
long word; therefore a further index has the trigrams of contents. It is used only where nothing but contents is
searched.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import add
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
from promptcrafter.database.fts5 import mean_comparisons
from promptcrafter.database.session import is_sqlite
from promptcrafter.prompts.models import SearchText
from promptcrafter.text import fold

MAX_WORDS = 32
_SHORT = 2000  # characters, so few that it does not matter which ones
_GRAMS_MAX = 100_000  # different ones of a text, or a few more; as many as a megabyte of Chinese has
_COMPARISONS_MAX = 25_000_000  # of terms with others in their bucket; two megabytes of English need a fifth
_LENGTH_MAX = 2 * 1024 * 1024  # characters
_PIECE = 8192
_GRAM_MAX = 2  # characters; FTS5's trigram tokenizer finds only longer words
FIELDS = ("title", "tags", "content")
# The table and not the model, because building a statement of columns is faster than of a model's attributes
TEXTS = Base.metadata.tables[SearchText.__tablename__]
Operator = Literal["AND", "OR"]


def parse_words(query: str) -> list[str]:
    """Split a query at white space into its distinct folded words."""
    return list(dict.fromkeys(fold(query).split()))


def make_pattern(words: Sequence[str]) -> re.Pattern[str] | None:
    """Return the pattern that finds these words and parts of words in a folded text; None without words."""
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if words else None


def search_columns(title: str, tags: Iterable[str], content: str) -> dict[str, str]:
    """Return the values of a prompt's `SearchText` by column name, without `seq`.

    Of a text that SQLite would take too long to index, only the beginning is searchable, on both databases: see
    `_limit`.
    """
    columns = {}
    for field, text in (("title", title), ("tags", "\n".join(tags)), ("content", content)):
        columns[field], grams = _limit(fold(text))
        columns[f"{field}_grams"] = " ".join(sorted(grams))
    return columns


def contains_words(words: Sequence[str], fields: Sequence[str], operator: Operator) -> ColumnElement[bool]:
    """Return the condition that a `SearchText` contains all (AND) or any (OR) of the words, by comparing its texts.

    With AND, each word may be in another one of the fields.
    """
    return _combine([or_(*(_contains_word(field, word) for field in fields)) for word in words], operator)


def index_matches(words: Sequence[str], fields: Sequence[str], operator: Operator) -> ColumnElement[bool]:
    """Return the same condition as `contains_words`, in a form for which the database uses its word indices."""
    if is_sqlite():
        return _index_matches_sqlite(words, fields, operator)
    # Trigrams only if contents are the only field: otherwise the planner may compute those of every text instead of
    # using their index, which takes half a millisecond a row
    has_grams = _has_trigrams if fields == ["content"] else _has_pairs
    # Separate from the condition on the texts, so that PostgreSQL does not recheck the grams that its index has found
    indexed = [or_(*(has_grams(field, word) for field in fields)) for word in words]
    return and_(_combine(indexed, operator), contains_words(words, fields, operator))


def _index_matches_sqlite(words: Sequence[str], fields: Sequence[str], operator: Operator) -> ColumnElement[bool]:
    long = [_quote(word) for word in words if len(word) > _GRAM_MAX]
    short = [_quote(_token(word)) for word in words if len(word) <= _GRAM_MAX]
    conditions = []
    if long:
        conditions.append(_in_index("prompt_trigrams", f"{{{' '.join(fields)}}} : ({f' {operator} '.join(long)})"))
    if short:
        columns = " ".join(f"{field}_grams" for field in fields)
        conditions.append(_in_index("prompt_grams", f"{{{columns}}} : ({f' {operator} '.join(short)})"))
    return _combine(conditions, operator)


def _in_index(index: str, expression: str) -> ColumnElement[bool]:
    """Return the condition that an FTS5 index has a match of the expression for the prompt."""
    fts = table(index, column("rowid"))
    return TEXTS.c.seq.in_(select(fts.c.rowid).where(literal_column(index).op("MATCH")(expression)))


def _quote(token: str) -> str:
    """Return a token as an FTS5 string, in which no character is an operator."""
    return '"' + token.replace('"', '""') + '"'


def _combine(conditions: Sequence[ColumnElement[bool]], operator: Operator) -> ColumnElement[bool]:
    return and_(*conditions) if operator == "AND" else or_(*conditions)


def _contains_word(field: str, word: str) -> ColumnElement[bool]:
    position = func.instr if is_sqlite() else func.strpos
    return position(TEXTS.c[field], word) > 0


def _has_trigrams(field: str, word: str) -> ColumnElement[bool]:
    """Return PostgreSQL's condition that a text has all trigrams of a word, or its pairs if the word is shorter."""
    if len(word) <= _GRAM_MAX:
        return _has_pairs(field, word)
    trigrams = ["".join(characters).encode() for characters in zip(word, word[1:], word[2:], strict=False)]
    return _array_contains(func.search_trigrams(TEXTS.c[field]), cast(array(trigrams), ARRAY(LargeBinary)))


def _has_pairs(field: str, word: str) -> ColumnElement[bool]:
    """Return PostgreSQL's condition that a text has all pairs of a word, or its only character."""
    pairs = [_token(a + b) for a, b in pairwise(word)] or [_token(word)]
    # The same expression as in the index, with a literal space: with a parameter PostgreSQL would not use the index
    grams = func.string_to_array(TEXTS.c[f"{field}_grams"], literal_column("' '"))
    return _array_contains(grams, cast(array(pairs), ARRAY(Text)))


def _array_contains(whole: ColumnElement[Any], part: ColumnElement[Any]) -> ColumnElement[bool]:
    return whole.op("@>", is_comparison=True)(part)


def _limit(text: str) -> tuple[str, list[str]]:
    """Return the text and the tokens of its grams, or those of its beginning if indexing it all would take too long.

    Indexed are the text's trigrams and grams. It takes long if the text has too many different ones, as a megabyte of
    random letters has, or if too many are in one bucket of FTS5's hash table.
    """
    while True:
        text, pairs, trigrams = _find_grams(text)
        grams = _grams(text, pairs)
        if len(text) <= _SHORT:
            return text, grams
        # every trigram of the text is looked up, but every gram once
        work = max(len(text) * mean_comparisons(trigrams), len(grams) * mean_comparisons(grams))
        if work <= _COMPARISONS_MAX:
            return text, grams
        text = text[: int(len(text) * min(_COMPARISONS_MAX / work, 0.5))]


def _find_grams(text: str) -> tuple[str, set[str], set[str]]:
    """Return the text up to where it has too many different grams, its pairs of characters, and its trigrams."""
    pairs: set[str] = set()
    trigrams: set[str] = set()
    for start in range(0, len(text), _PIECE):
        end = start + _PIECE
        two = list(map(add, text[start:end], text[start + 1 : end + 1]))
        pairs.update(two)
        trigrams.update(map(add, two, text[start + 2 : end + 2]))
        if max(len(pairs), len(trigrams)) > _GRAMS_MAX or end >= _LENGTH_MAX:
            return text[:end], pairs, trigrams
    return text, pairs, trigrams


def _grams(text: str, pairs: Iterable[str]) -> list[str]:
    """Return the tokens of all single characters of a text and of its pairs that have no white space."""
    tokens = {character: _token(character) for character in set(text) if not character.isspace()}
    return [
        *tokens.values(),
        *(tokens[pair[0]] + tokens[pair[1]] for pair in pairs if pair[0] in tokens and pair[1] in tokens),
    ]


def _token(gram: str) -> str:
    """Return the token of a gram: its UTF-8 bytes in hexadecimal."""
    return gram.encode().hex()
