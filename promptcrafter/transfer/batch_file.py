"""The checked batches of an import, kept on disk until all of them are stored."""

import pickle
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress

from promptcrafter.problems import Problem
from promptcrafter.transfer.records import LoadedRecord


class InsufficientStorage(Problem):
    """507: the disk for temporary files is full."""

    def __init__(self) -> None:
        super().__init__(507, "The server has no room to take the file in.", "insufficient_storage")


class BatchFile:
    """A sequence of batches of records in an anonymous temporary file, which is deleted by `close()`."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open until close()
        self._batches = 0

    def add(self, batch: Sequence[LoadedRecord]) -> None:
        """Append a batch. Raises InsufficientStorage."""
        try:
            pickle.dump(batch, self._file)
            self._file.flush()
        except OSError as error:
            raise InsufficientStorage from error
        self._batches += 1

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[LoadedRecord]]:
        self._file.seek(0)
        for _ in range(self._batches):
            yield pickle.load(self._file)  # noqa: S301 - the file has no name, so only this process can write it

    def close(self) -> None:
        """Close and thereby delete the file."""
        with suppress(OSError):  # closing flushes; after a failed write the content is not needed
            self._file.close()

    def __enter__(self) -> "BatchFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
