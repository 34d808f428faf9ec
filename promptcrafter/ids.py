"""Public ids: a prefix, `_` and a lower-case ULID, unguessable (80 random bits) and sortable by time."""

import re
from typing import Literal, get_args

from ulid import PureRandomPolicy, ULIDGenerator

Kind = Literal["user", "key", "prompt", "log", "trace", "experiment"]
# The library's usual generator counts up within a millisecond: who has an id could guess its neighbours
_generator = ULIDGenerator(policy=PureRandomPolicy())
KINDS: tuple[Kind, ...] = get_args(Kind)


def new_id(kind: Kind) -> str:
    """Make an id such as `prompt_01j0…` (26 characters after the prefix)."""
    return f"{kind}_{str(_generator.generate()).lower()}"


def pattern(kind: Kind) -> str:
    """Return the regular expression of a well-formed id; imported ids such as `prompt104` are well-formed."""
    return f"^{kind}_?[A-Za-z0-9]{{1,40}}$"


def is_well_formed(kind: Kind, text: str) -> bool:
    """Tell whether `text` could be an id of this kind, whether or not it exists."""
    return re.fullmatch(pattern(kind)[1:-1], text) is not None
