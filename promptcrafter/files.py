"""Files that must survive a power cut."""

import os
from pathlib import Path


def fsync_path(path: Path) -> None:
    """Sync a file, or a folder after a rename in it, to the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
