"""Requests that wait for a thread: each client in turn, so that nobody waits behind all requests of another one."""

from collections import OrderedDict, deque
from threading import Lock

from promptcrafter.server.connection import Connection


class FairQueue:
    """A queue of connections for several threads.

    Who has waited longest among the clients is next; of one client, requests come in their order.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[Connection]] = OrderedDict()  # by client, the next one first
        self._lock = Lock()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, connection: Connection) -> None:
        """Add a connection behind the others of its client."""
        with self._lock:
            self._waiting.setdefault(connection.client, deque()).append(connection)
            self._count += 1

    def pop(self) -> Connection | None:
        """Remove and return the next connection; None if there is none."""
        with self._lock:
            if not self._waiting:
                return None
            client, connections = next(iter(self._waiting.items()))
            connection = connections.popleft()
            self._count -= 1
            if connections:
                self._waiting.move_to_end(client)
            else:
                del self._waiting[client]
            return connection

    def discard(self, connection: Connection) -> bool:
        """Remove a connection; return False if it does not wait here."""
        with self._lock:
            connections = self._waiting.get(connection.client, ())
            if connection not in connections:
                return False
            self._waiting[connection.client].remove(connection)
            self._count -= 1
            if not connections:
                del self._waiting[connection.client]
            return True
