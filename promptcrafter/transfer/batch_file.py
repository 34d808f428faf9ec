"""Checked lines, kept on disk until all of a file are checked and the first is stored."""

import pickle
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress

from promptcrafter.problems import Problem
from promptcrafter.transfer.records import Item


class NoRoom(Problem):
    """507: the disk for temporary files is full."""

    def __init__(self) -> None:
        super().__init__(507, "The server has no room to take the file in.", "insufficient_storage")


class Spool:
    """Items, some hundred at a time, in a file without a name that goes when it is closed."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this
        self._chunks = 0

    def add(self, chunk: Sequence[Item]) -> None:
        """Keep items. Raises NoRoom."""
        try:
            pickle.dump(chunk, self._file)
            self._file.flush()
        except OSError as error:
            raise NoRoom from error
        self._chunks += 1

    def __len__(self) -> int:
        return self._chunks

    def __iter__(self) -> Iterator[list[Item]]:
        self._file.seek(0)
        for _ in range(self._chunks):
            yield pickle.load(self._file)  # noqa: S301 - nobody else can reach the file

    def close(self) -> None:
        """Let go of the disk."""
        with suppress(OSError):  # what could not be written is not wanted any more
            self._file.close()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
