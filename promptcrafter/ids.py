"""Public ids: a prefix, `_` and a lower-case ULID, unguessable (80 random bits) and sortable by time."""

import re
from typing import Literal, get_args

from ulid import PureRandomPolicy, ULIDGenerator

Kind = Literal["user", "key", "workspace", "invitation", "audit", "prompt", "log", "score", "trace", "experiment"]
# By default the library increments the random part within a millisecond, so that ids could be guessed from others
_generator = ULIDGenerator(policy=PureRandomPolicy())
KINDS: tuple[Kind, ...] = get_args(Kind)


def new_id(kind: Kind) -> str:
    """Make an id such as `prompt_01j0…` (26 characters after the prefix)."""
    return f"{kind}_{str(_generator.generate()).lower()}"


def pattern(kind: Kind) -> str:
    """Return a regular expression, from `^` to `$`, for ids of a kind; it accepts imported ids such as `prompt104`."""
    return f"^{kind}_?[A-Za-z0-9]{{1,40}}$"


def is_well_formed(kind: Kind, text: str) -> bool:
    """Return whether `text` has the form of an id of this kind."""
    return re.fullmatch(pattern(kind)[1:-1], text) is not None
