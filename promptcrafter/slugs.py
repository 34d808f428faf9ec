"""The slugs of prompts: up to four segments, such as `support/reply/short`, of which all but the last are folders.

A workspace has a slug of one segment, which is derived from its name in the same way.
"""

import re
import unicodedata
from collections.abc import Collection

SLUG_MAX = 120  # characters
SEGMENTS_MAX = 4
# What follows a slug in the paths of calls, so that no segment but the first may be one of these. The last two are in
# the paths of Basalt's clients.
RESERVED = ("versions", "labels", "render", "diff", "describe", "publish")
_SEGMENT = "[a-z0-9-]+"
# For the OpenAPI document; what is reserved is not in them, because not all generated clients could read that
SLUG = f"^{_SEGMENT}(?:/{_SEGMENT}){{0,{SEGMENTS_MAX - 1}}}$"
FOLDER = f"^{_SEGMENT}(?:/{_SEGMENT}){{0,{SEGMENTS_MAX - 2}}}$"
FOLDER_MAX = SLUG_MAX - 2  # a slash and one character more make a slug
_NOT_RESERVED = f"(?!(?:{'|'.join(RESERVED)})(?:/|$))"
_DERIVED_MAX = 100  # characters of a prompt's; leaves room for a number at the end
IN_PATH = f"[^/]+(?:/{_NOT_RESERVED}[^/]+)*"  # what is taken for a slug in a path, whether it is well-formed or not


def is_slug(text: str) -> bool:
    """Return whether this is a well-formed slug."""
    return _fits(text, SLUG, SLUG_MAX)


def is_folder(text: str) -> bool:
    """Return whether this is the well-formed beginning of slugs, without the slash that follows."""
    return _fits(text, FOLDER, FOLDER_MAX)


def derive_slug(title: str, maximum: int = _DERIVED_MAX, fallback: str = "prompt") -> str:
    """Return the slug for a title, which may be taken: `fallback` if no letter of the title can be in a slug."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain)[:maximum].strip("-") or fallback


def make_unique(slug: str, taken: Collection[str]) -> str:
    """Return the slug, with `-2`, `-3` … at the end if it is taken."""
    return next(each for each in (slug, *(f"{slug}-{n}" for n in range(2, len(taken) + 3))) if each not in taken)


def _fits(text: str, pattern: str, maximum: int) -> bool:
    return len(text) <= maximum and all(re.fullmatch(each, text) for each in (pattern[1:-1], IN_PATH))


def describe_rule(segments: int, maximum: int) -> str:
    """Return the rest of a sentence that begins with the name of a field with a slug or a folder."""
    return (
        f"must consist of 1 to {segments} segments of lower-case letters, digits and hyphens, with slashes between "
        f"them, and have at most {maximum} characters; no segment but the first may be one of {', '.join(RESERVED)}"
    )


SLUG_RULE = describe_rule(SEGMENTS_MAX, SLUG_MAX)
FOLDER_RULE = describe_rule(SEGMENTS_MAX - 1, FOLDER_MAX)
