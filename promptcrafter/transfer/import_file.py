"""The import of a file while it is sent, which the API and the pages share."""

import io
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from promptcrafter.problems import TooLarge
from promptcrafter.transfer import export_format, importer
from promptcrafter.transfer.id_policy import KEPT_IDS, IdPolicy, NewIds
from promptcrafter.workspaces.principal import Principal, refuse_role

_PIECE_BYTES = 64 * 1024


class _Source(Protocol):
    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""


class LimitedFile(io.RawIOBase):
    """A file that is being sent, as a stream. Reading past the limit in bytes raises TooLarge."""

    def __init__(self, source: _Source, limit: int) -> None:
        self._source = source
        self._limit = self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = self._source.read(len(buffer))
        self._left -= len(piece)
        if self._left < 0:
            raise TooLarge("The file", self._limit, None)
        buffer[: len(piece)] = piece
        return len(piece)


def import_file(
    principal: Principal, file: io.RawIOBase, *, has_new_ids: bool, key: str | None = None
) -> importer.Counts:
    """Import an export into the current workspace; return how many of each type were created and skipped.

    What is there already is skipped. With new ids that is nothing, unless they are derived from a `key`. Raises 403
    before the file is read, and what `importer.check` and `importer.store_checked` raise.
    """
    refuse_role(principal)  # a file without records would never ask
    policy: AbstractContextManager[IdPolicy] = NewIds(principal, key) if has_new_ids else nullcontext(KEPT_IDS)
    body = io.BufferedReader(file, _PIECE_BYTES)
    with policy as ids, importer.check(principal, export_format.read_records(body), ids) as checked:
        return importer.store_checked(principal, checked, ids)
