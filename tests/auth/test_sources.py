"""By what a client is known to the rate limits."""

import pytest

from promptcrafter.auth.sources import source_of


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("64:ff9b::c000:201", "192.0.2.1"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        ("2001:DB8:0001:0002:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
        ("[2001:db8:1:2::1]", "2001:db8:1:2::"),
        ("[2001:db8:1:2::1]:4711", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
    ],
)
def test_the_source_is_an_ipv4_address_or_an_ipv6_network(address: str, source: str) -> None:
    assert source_of(address) == source


NO_ADDRESSES = [
    *("", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "::1::", "[::1", "1.2.3.4/8", "::1/64"),
    *("1.2.3.4, 5.6.7.8", "٣.1.1.1", "é", "1" * 9999, "[" * 60, "\n", "1.2.3.4\n5", "/run/socket", "1.2.3.4:5:6"),
]


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_texts_that_are_no_address_have_one_source(text: str) -> None:
    assert source_of(text) == "unknown"
