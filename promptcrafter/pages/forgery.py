"""Protection from forged requests: what changes something must come from a page of this server.

Browsers say where a request comes from: in `Sec-Fetch-Site` over TLS and on localhost, in `Origin` also elsewhere. One
that says neither is refused, too. Pages are sent with `Referrer-Policy: same-origin`, since with `no-referrer` browsers
send `Origin: null` with forms.
"""

from flask import request

from promptcrafter.problems import Problem

_SAFE = ("GET", "HEAD", "OPTIONS")


def refuse_foreign_request() -> None:
    """Raise 403 for a request that may change something and does not come from a page of this server."""
    if request.method in _SAFE:
        return
    site = request.headers.get("Sec-Fetch-Site")
    is_own = site == "same-origin" if site is not None else _has_own_origin()
    if not is_own:
        raise Problem(403, "This form was not sent by a page of this server. Reload the page.", "foreign_request")


def _has_own_origin() -> bool:
    """Return whether the origin is this server. What came over TLS must have come from a page sent over TLS.

    A proxy may have ended TLS without saying so: a request that seems to have come without may come from any of both.
    """
    schemes = ("https",) if request.is_secure else ("http", "https")
    return request.headers.get("Origin") in [f"{scheme}://{request.host}" for scheme in schemes]
