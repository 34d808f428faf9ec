"""A TCP proxy in front of PostgreSQL that stops to forward, as a network does that loses packets."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

import psycopg

_ONE_ROW = b"SELECT 1\0"  # what PostgreSQL says after the only row of a result


class TcpProxy:
    """A listening proxy. While it is silent it forwards nothing, and what is silenced then stays so."""

    def __init__(self, server: str) -> None:
        parameters = psycopg.conninfo.conninfo_to_dict(server)
        self._server = (str(parameters["host"]), int(parameters.get("port") or 5432))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.is_silent = False
        self.answers_until_silence: int | None = None  # of the server; the next one is lost
        self._silenced: set[int] = set()
        self.delay_s = 0.0  # of each answer of the server
        self.is_slow = False  # whether the server's next answer waits for a row on a later connection
        self._late: tuple[socket.socket, bytes] | None = None
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self._listener.getsockname()[1]}/tests"
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        number = 0
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                number += 1
                Thread(target=self._serve, args=(number, client), daemon=True).start()

    def _serve(self, number: int, client: socket.socket) -> None:
        """Forward in both directions until the client closes; then close the server's side, too."""
        host, port = self._server
        with client, socket.socket(socket.AF_UNIX if host.startswith("/") else socket.AF_INET) as server:
            server.connect(f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port))
            Thread(target=self._forward, args=(number, server, client, True), daemon=True).start()
            self._forward(number, client, server, False)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

    def _forward(self, number: int, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self.delay_s if is_answer else 0)
                if is_answer and self.answers_until_silence is not None:
                    self.answers_until_silence -= 1
                    self.is_silent = self.is_silent or self.answers_until_silence < 0
                if is_answer and self.is_slow:
                    if self._late is None:
                        self._late = target, data
                        continue
                    if _ONE_ROW in data:
                        self.is_slow = False
                        self._late[0].sendall(self._late[1])
                if self.is_silent:
                    self._silenced.add(number)
                if number not in self._silenced:
                    target.sendall(data)


@contextmanager
def proxied_postgresql(server: Any) -> Iterator[TcpProxy]:
    """Yield a proxy in front of the tests' server."""
    proxy = TcpProxy(server.get_uri("tests"))
    try:
        yield proxy
    finally:
        proxy.close()
