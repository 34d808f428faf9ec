"""The names of fields in the words of the pages, for messages about fields that do not stand beside them. Pure."""

import re
from collections.abc import Iterable, Iterator

from promptcrafter.problems import Details

_WORDS = {
    "log": "chosen outputs",
    "logs": "outputs",
    "q": "search",
    "in": "search in",
    "where": "metadata",
    "promptId": "prompt",
    "promptVersion": "version",
    "modelUsed": "model",
    "traceId": "run",
    "minScore": "score at least",
    "maxScore": "score at most",
    "raters": "people per output",
    "by": "groups",
    "groupBy": "groups",
    "tz": "time zone",
    "per_page": "rows of a page",
    "as": "kind of file",
    "expiresAt": "end of the key",
    "defaultWorkspaceId": "default workspace",
    "confirm": "confirmation",
    "min": "lowest value",
    "max": "highest value",
}
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")


def to_words(field: str) -> str:
    """Return the name of a field of the API as the pages write it: `userId` is "user id".

    The name of an item of a list begins with that of the list: `messages.0.content` is "messages, 1, content".
    """
    return ", ".join(_each_part(field.split("."))) or field


def _each_part(parts: Iterable[str]) -> Iterator[str]:
    for part in parts:
        if part in _WORDS:
            yield _WORDS[part]
        elif part.isdecimal() and part.isascii() and len(part) < 10:
            yield str(int(part) + 1)
        else:
            words = _WORD.findall(part) if part.isascii() and part.isidentifier() else []
            yield " ".join(words).replace("_", " ").lower() or part


def list_sentences(details: Details) -> list[str]:
    """Return what is wrong with each field, as sentences."""
    return [_to_sentence(f"{to_words(name)} {'; '.join(reasons)}") for name, reasons in details.items()]


def _to_sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
