"""Variables whose braces are open on one side, which render leaves as they are: most likely they are typing errors."""

import re
from collections.abc import Iterator

from promptcrafter.prompts.render import VARIABLE
from promptcrafter.text import shorten

_FOUND_MAX = 3
_BRACES = re.compile(r"\{+|\}+|\n")
_OPENING = re.compile(r"\{\{[ \t]*(\w[\w.-]*)")
_NAME_MAX = 100  # characters of a name that are looked for before closing braces, and shown of any
_NAME_BEFORE = re.compile(r"\w[\w.-]*")


def find_unclosed(*texts: str) -> list[str]:
    """Return the first three distinct variables that lack one pair of braces, such as `{{topic` and `topic}}`.

    Other uses of braces are none of them: JSON, and what closes on the same line, such as `{{#each topics}}`. It takes
    linear time.
    """
    found: dict[str, None] = {}
    for text in texts:
        for name in _find_in(VARIABLE.sub("\0", text)):
            found[name] = None
            if len(found) == _FOUND_MAX:
                return list(found)
    return list(found)


def _find_in(text: str) -> Iterator[str]:
    """Yield what lacks braces in a text without variables, with its braces."""
    depth = 0  # braces that are open
    opening: re.Match[str] | None = None  # two or more braces that nothing has closed on this line
    for braces in _BRACES.finditer(text):
        count = len(braces[0])
        if braces[0] in ("\n", "}") or braces[0][0] == "{":
            name = opening and _OPENING.match(text, opening.end() - 2)
            if opening and name:
                yield f"{{{{{shorten(name[1], _NAME_MAX)}"
                depth -= len(opening[0])
            opening = None
        if braces[0][0] == "{":
            depth += count
            opening = braces if count > 1 else None
        elif braces[0][0] == "}":
            if count > 1 and opening is None and depth < count:
                name_before = _name_before(text, braces.start())
                if name_before:
                    yield f"{name_before}}}}}"
            opening = None
            depth = max(0, depth - count)
    name = opening and _OPENING.match(text, opening.end() - 2)
    if name:
        yield f"{{{{{shorten(name[1], _NAME_MAX)}"


def _name_before(text: str, end: int) -> str:
    """Return the name that ends before a position, or blanks before it; empty if there is none."""
    words = text[max(0, end - _NAME_MAX) : end].rstrip(" \t")
    names = list(_NAME_BEFORE.finditer(words))
    return names[-1][0] if names and names[-1].end() == len(words) else ""
