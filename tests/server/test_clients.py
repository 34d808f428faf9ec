"""Which client a request is counted for."""

import pytest

from promptcrafter.server.clients import identify_client, identify_peer

PEER = "10.0.0.1"


@pytest.mark.parametrize(
    ("address", "source"),
    [
        (("192.0.2.1", 4711), "192.0.2.1"),
        (("2001:db8:1:2::7", 4711, 0, 0), "2001:db8:1:2::"),
        ("", "unknown"),
        (b"", "unknown"),
    ],
)
def test_a_connection_is_known_by_its_address_or_ipv6_network(address: object, source: str) -> None:
    assert identify_peer(address) == source


@pytest.mark.parametrize(
    ("values", "trusted", "client"),
    [
        (["192.0.2.1"], 0, PEER),
        ([], 1, PEER),
        (["192.0.2.1"], 1, "192.0.2.1"),
        (["198.51.100.1, 192.0.2.1"], 1, "192.0.2.1"),
        (["198.51.100.1", "192.0.2.1"], 1, "192.0.2.1"),
        (["198.51.100.1", "192.0.2.1, 10.0.0.2"], 2, "192.0.2.1"),
        (["198.51.100.1, 192.0.2.1", "10.0.0.2"], 2, "192.0.2.1"),
        (["192.0.2.1"], 2, PEER),
        (["", " , 192.0.2.1"], 2, PEER),
        (["2001:db8:1:2::7"], 1, "2001:db8:1:2::"),
        (["192.0.2.1:4711"], 1, "192.0.2.1"),
        (["nobody"], 1, "unknown"),
    ],
)
def test_only_what_trusted_proxies_report_counts(values: list[str], trusted: int, client: str) -> None:
    fields = [("HOST", "x"), *(("X-FORWARDED-FOR", value) for value in values), ("X-REAL-IP", "198.51.100.9")]
    assert identify_client(PEER, fields, trusted) == client
