"""Fields of a request body that have no effect: named in the header `X-Ignored-Fields`, or refused in strict mode.

Documented clients send fields that a call does not know, so by default these are ignored. A misspelt field would be
lost in silence without the header. `?strict=true` turns each ignored field into an error.

What a request has ignored is kept in `flask.g`. Bodies may be hostile: 2 MiB hold a hundred thousand names, so only a
bounded number is compared with the known names, quoted or sent back.
"""

import difflib
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple
from urllib.parse import quote

from flask import g
from marshmallow import ValidationError

from promptcrafter.problems import Details

HEADER = "X-Ignored-Fields"
PARAMETER = "strict"
# Neither named nor refused, because clients send back what they have read
SERVER_SET = frozenset({"_id", "ownerId", "createdAt", "updatedAt", "version"})
_NAMES_MAX = 20  # in the header
_BYTES_MAX = 1024  # of the header
_DESCRIBED_MAX = 100  # fields with an error
_DESCRIBED_IN_BATCH_MAX = 2000  # all items of a batch together
_COMPARED_MAX = 100  # different names of a request for which the nearest known name is searched
_EXPLAINED_MAX = 10  # ignored fields in an error that something else has caused
_SHOWN_MAX = 64  # characters of a name in an error


class UnknownFields(NamedTuple):
    """The fields of one object that its schema does not know.

    `path` leads to the object, with positions in lists; `known` are the names that it takes.
    """

    path: tuple[str | int, ...]
    names: list[str]
    known: tuple[str, ...]


def set_strict(is_strict: bool) -> None:
    """Set whether the request refuses fields that it would otherwise ignore."""
    g.is_strict = is_strict


def is_strict() -> bool:
    """Return whether the request refuses fields that it would otherwise ignore."""
    return bool(g.get("is_strict", False))


def note_ignored(name: str, reason: str) -> None:
    """Report that a known field is ignored because of its value; raise ValidationError in strict mode.

    For `pre_load` and `post_load` hooks of request bodies, also of the items of a batch. The hook itself drops the
    value. `reason` continues a sentence that begins with the name: "must be an object of token counts".
    """
    if is_strict():
        raise ValidationError(reason, name)
    _ignored()[name] = None


def note_unknown(unknown: Iterable[UnknownFields]) -> None:
    """Report that unknown fields are ignored.

    Positions in lists are left out, so that a field of many objects is named once.
    """
    ignored = _ignored()
    for path, names, _ in unknown:
        place = _join([part for part in path if isinstance(part, str)])
        ignored.update(dict.fromkeys([f"{place}.{name}" for name in names] if place else names))


def describe_unknown(unknown: Sequence[UnknownFields]) -> tuple[Details, int]:
    """Return the errors of unknown fields, and how many more fields there are that get none.

    In a batch, each item gets an error for one field at least.
    """
    described = g.get("described_fields", 0)
    each = ((fields, name) for fields in unknown for name in fields.names)
    shown = list(islice(each, max(1, min(_DESCRIBED_MAX, _DESCRIBED_IN_BATCH_MAX - described))))
    g.described_fields = described + len(shown)
    details = {_shorten(_join((*fields.path, name))): [_describe(name, fields.known)] for fields, name in shown}
    return details, sum(len(fields.names) for fields in unknown) - len(shown)


def describe_ignored(known: Sequence[str]) -> Details:
    """Return the reasons why fields were ignored, where an error tells of them, too; of the first few fields."""
    return {_shorten(name): [_describe(name, tuple(known))] for name in islice(_ignored(), _EXPLAINED_MAX)}


def describe_known(name: str, known: Sequence[str]) -> str:
    """Return the known name that is most similar to `name`, or all known ones, as the end of a sentence."""
    by_letters = {_letters(other): other for other in known}
    near = difflib.get_close_matches(_letters(name), by_letters, n=1) if len(name) <= _SHOWN_MAX else []
    if near:
        return f"the nearest is {by_letters[near[0]]}"
    return f"it takes {', '.join(known)}" if known else "this call takes none"


def write_header() -> str | None:
    """Return the value of the header `X-Ignored-Fields`, None if the request has ignored nothing.

    It is a list of percent-encoded names. Names beyond `_NAMES_MAX`, and names that make the header too long, are
    counted in a last item `+N`.
    """
    ignored: dict[str, None] | None = g.get("ignored_fields")
    if ignored is None:
        return None
    shown: list[str] = []
    left = _BYTES_MAX - len(f", +{len(ignored)}")
    for name in islice(ignored, _NAMES_MAX):
        encoded = quote(name, safe="", errors="replace") if len(name) < left else ""
        if 0 < len(encoded) <= left - len(", "):
            shown.append(encoded)
            left -= len(encoded) + len(", ")
    if len(shown) < len(ignored):
        shown.append(f"+{len(ignored) - len(shown)}")
    return ", ".join(shown)


def _describe(name: str, known: tuple[str, ...]) -> str:
    """Return the reason why an unknown field is refused, with the nearest known name unless too many are unknown."""
    if "unknown_fields" not in g:
        g.unknown_fields = {}
    reasons: dict[tuple[str, tuple[str, ...]], str] = g.unknown_fields
    key = name, known
    if key not in reasons and len(reasons) < _COMPARED_MAX:
        reasons[key] = f"is not a field of this call; {describe_known(*key)}"
    return reasons.get(key, "is not a field of this call")


def _ignored() -> dict[str, None]:
    """Return the names that the request has ignored so far, as the keys of a dictionary, in order."""
    if "ignored_fields" not in g:
        g.ignored_fields = {}
    ignored: dict[str, None] = g.ignored_fields
    return ignored


def _join(path: Iterable[str | int]) -> str:
    return ".".join(map(str, path))


def _letters(name: str) -> str:
    """Return a name without what spellings differ in: `expires_at` and `expiresAt` are equal."""
    return name.replace("_", "").replace("-", "").lower()


def _shorten(name: str) -> str:
    """Return a name to show in an error: of bounded length, and without lone surrogates, which UTF-8 cannot hold."""
    shown = name if len(name) <= _SHOWN_MAX else f"{name[:_SHOWN_MAX]}…"
    return shown.encode("utf-8", "replace").decode()
