"""The repository's folder, its programs, and free ports."""

import socket
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECRET = "a secret of the tests, longer than 32 bytes"


def free_port() -> int:
    """Return a free TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def bin_path(name: str) -> str:
    """Return the path of a program of this virtual environment."""
    return str(Path(sys.executable).parent / name)
