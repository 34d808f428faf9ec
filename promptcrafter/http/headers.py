"""Default response headers for browsers and caches; a view may set others."""

from flask import Flask, Response, request

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def init_app(app: Flask) -> None:
    """Add each header to the responses that do not have it."""
    app.after_request(_add_defaults)


def _add_defaults(response: Response) -> Response:
    headers = response.headers
    present = {name.lower() for name, _ in headers}  # setdefault raises and catches an exception per missing header
    for name, value in _HEADERS.items():
        if name.lower() not in present:
            headers.add(name, value)
    if response.status_code == 204:
        headers.pop("Content-Type", None)
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response
