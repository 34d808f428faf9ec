"""The words of a log in the search index, as release 0.1.0 computed them; used by migration d16f7a3b9c05."""

import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORD_MAX = 64  # characters; of a longer word only the beginning counts
_WORDS_MAX_BYTES = 1_000_000  # of one log: a tsvector holds 1,048,575 bytes
# Thai, Lao, Myanmar, Khmer, Kana, Han: ranges of the Unicode blocks
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)


class _Separators(dict[int, str]):
    """A table for `str.translate`: keeps characters of words, puts spaces around symbols, drops or replaces others."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Cf" or 0xFE00 <= code <= 0xFE0F:  # joiners and variation selectors
            found = " " if code == 0x200B else ""
        elif category == "So":
            found = f" {character} "
        else:
            found = character if category[0] in "LMN" or category == "Co" else " "
        self[code] = found
        return found


_SEPARATORS = _Separators()


def words_of(*texts: str | None) -> str:
    """Return the distinct words of the texts, folded and joined by spaces."""
    words = dict.fromkeys(chain.from_iterable(_split(_fold(text)) for text in texts if text))
    joined = " ".join(words).encode()
    if len(joined) <= _WORDS_MAX_BYTES:
        return joined.decode()
    return joined[:_WORDS_MAX_BYTES].decode(errors="ignore").rpartition(" ")[0]


def milliseconds_of(moment: str | datetime) -> int:
    """Return the milliseconds since 1970 of a time as SQLite (RFC 3339 text) or PostgreSQL (aware) returns it."""
    moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _fold(text: str) -> str:
    """Return the form in which texts are compared (NFKC, case folded, NFKC again: UAX #31, R4)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _split(folded: str) -> list[str]:
    """Return the words of a folded text; runs of scripts without spaces as overlapping pairs of characters."""
    words = [part for word in folded.translate(_SEPARATORS).split() for part in _parts(word)]
    return [word[:_WORD_MAX] for word in words]


def _parts(word: str) -> Iterator[str]:
    end = 0
    for run in _SPACELESS.finditer(word):
        if run.start() > end:
            yield word[end : run.start()]
        yield from (run.group()[at : at + 2] for at in range(len(run.group())))
        end = run.end()
    if end < len(word):
        yield word[end:]
