"""PostgreSQL servers that a test may stop, kill and promote, because no other test uses them."""

import subprocess
from pathlib import Path
from typing import Any

from tests.support.environment import free_port


class PostgreSQL:
    """A copy of a running server and its databases, on a TCP port of 127.0.0.1."""

    def __init__(self, folder: Path, tools: Any, source: str, *options: str) -> None:
        self.data = folder / "data"
        self.port = free_port()
        self.uri = f"postgresql://postgres@127.0.0.1:{self.port}/tests"
        self._tools = tools
        self._run("pg_basebackup", "-d", source, "-D", str(self.data), "--checkpoint=fast", "--no-sync", *options)

    def start(self, settings: str = "") -> None:
        """Start the server and wait until it accepts connections; `settings` are options of its command line."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' {settings}"
        self._run("pg_ctl", "-D", str(self.data), "-l", f"{self.data}.log", "-o", options, "-w", "start")

    def kill(self) -> None:
        """Stop all processes at once, without a checkpoint, so that the next start recovers from the log."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def promote(self) -> None:
        """Make a standby the primary."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "promote")

    @property
    def is_running(self) -> bool:
        return (self.data / "postmaster.pid").exists()

    def _run(self, program: str, *arguments: str) -> None:
        # PostgreSQL does not run as root; a pipe would stay open for as long as the server that inherits it
        command = [str(self._tools.bin_path / program), *arguments]
        subprocess.run(
            command, user=self._tools.system_user, cwd=self.data.parent, check=True, stdout=subprocess.DEVNULL
        )
