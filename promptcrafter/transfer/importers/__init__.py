"""Importers: one module for each tool whose files can be imported, with a function `read` that yields records.

The records are then checked and stored like those of an export (see `transfer.importer`). Importers do not use the
database, and yield the same records for the same file, ids included, so that importing a file twice changes nothing.
"""

import hashlib
import json
from typing import Any

from promptcrafter.ids import Kind


class Unreadable(Exception):
    """The file cannot be read as a file of this tool; the text says why."""


def stable_id(kind: Kind, *parts: Any) -> str:
    """Return an id that is a hash of the parts, which must be JSON values: equal parts give equal ids."""
    return f"{kind}_{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]}"
