"""Tell clients apart, so that each gets only its share of a worker's threads, connections and memory."""

from collections.abc import Iterable
from typing import Any

from promptcrafter.auth.sources import source_of


def identify_peer(address: Any) -> str:
    """Return the source of a connection from the address of a socket, which is a tuple for TCP."""
    return source_of(address[0] if isinstance(address, tuple) and address else "")


def identify_client(peer: str, fields: Iterable[tuple[str, str]], trusted_proxies: int) -> str:
    """Return the source of a request: the client that the trusted proxies report, or else `peer`.

    `fields` are those of the head, with names in capitals. Each proxy adds an address at the end of `X-Forwarded-For`,
    some in a field of their own; what stands before those of the trusted proxies may be forged. With fewer addresses
    than trusted proxies there is no report, as for rate limits (werkzeug's ProxyFix).
    """
    values = ",".join(value for name, value in fields if name == "X-FORWARDED-FOR").split(",")
    reported = [value for value in values if value.strip()]
    return source_of(reported[-trusted_proxies]) if 0 < trusted_proxies <= len(reported) else peer
