"""Files that must survive a power cut: a file is synced before it gets its name, and the folder after that."""

import errno
import os
from contextlib import suppress
from pathlib import Path


def fsync_path(path: Path) -> None:
    """Sync the content of a file to the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def fsync_folder(folder: Path) -> None:
    """Sync the names of the files in a folder to the disk, where the system allows that.

    Some file systems cannot sync a folder, and a folder that may be written but not read cannot be opened.
    """
    with suppress(PermissionError):
        try:
            fsync_path(folder)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
