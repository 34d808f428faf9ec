"""Importers: one module for each tool whose files can be imported, with a function `read` that yields records.

The records are then checked and stored like those of an export (see `transfer.importer`). Importers yield the same
records for the same file and workspace, ids included, so that importing a file twice changes nothing. They do not use
the database; the importer of json-server is given a function that tells which ids are taken (see `foreign_ids`).
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from promptcrafter.ids import Kind

_NAMES_SHOWN = 20
_NAME_MAX = 60  # characters


class Unreadable(Exception):
    """The file cannot be read as a file of this tool; the text says why."""


def stable_id(kind: Kind, *parts: Any) -> str:
    """Return an id that is a hash of the parts, which must be JSON values: equal parts give equal ids."""
    return f"{kind}_{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]}"


def enumerate_names(names: Collection[str]) -> str:
    """Return names from a file as text for a message: at most twenty, each cut to sixty printable characters."""
    return _join([_to_printable(name) for name in islice(names, _NAMES_SHOWN)], len(names))


def enumerate_counts(counts: Mapping[str, int]) -> str:
    """Return names from a file with their counts, `users (2)`, as `enumerate_names` does."""
    shown = islice(counts.items(), _NAMES_SHOWN)
    return _join([f"{_to_printable(name)} ({count:,})" for name, count in shown], len(counts))


def _join(shown: Sequence[str], total: int) -> str:
    more = total - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _to_printable(name: str) -> str:
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name[: _NAME_MAX + 1])
    return text if len(text) <= _NAME_MAX else f"{text[: _NAME_MAX - 1]}…"
