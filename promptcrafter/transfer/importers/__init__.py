"""What other tools have written, as lines of our own export, which are then checked like those of any file.

The readers are pure: they neither ask nor write the database, and make of the same file the same lines. So the ids that
they derive are the same each time, and importing twice changes nothing.
"""

import hashlib
import json
from typing import Any

from promptcrafter.ids import Kind


class Unreadable(Exception):
    """The file is not what it was taken for; the text says why."""


def stable_id(kind: Kind, *parts: Any) -> str:
    """Return an id that follows from the parts."""
    return f"{kind}_{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]}"
