"""The source of a request, for rate limits: an IPv4 address or an IPv6 network."""

import ipaddress
import re

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NETWORK_BITS = 64  # the smallest network that a provider assigns; its user can have every address in it
_ADDRESS_MAX = 64  # characters, with a port and the name of an interface
_UNKNOWN = "unknown"


def source_of(address: str) -> str:
    """Return the text by which requests from one place are counted: `192.0.2.1` or `2001:db8:1:2::`.

    IPv4 addresses that are written as IPv6 (mapped, or translated by NAT64) are IPv4. Some proxies add the port of the
    client, which is ignored. All texts that are no address have one source.
    """
    if len(address) > _ADDRESS_MAX:
        return _UNKNOWN
    parts = re.fullmatch(r"\[(.*)\](?::[0-9]*)?|([0-9.]+):[0-9]*|(.*)", address.strip(), re.DOTALL)
    text = next((part for part in parts.groups() if part is not None), "") if parts else ""
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return _UNKNOWN
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    if parsed in _NAT64:
        return str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF))
    return str(ipaddress.IPv6Network((int(parsed), _NETWORK_BITS), strict=False).network_address)
