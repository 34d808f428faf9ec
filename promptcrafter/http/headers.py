"""Response headers of all routes: defaults for browsers and caches, which a view may replace, and ignored fields."""

from flask import Flask, Response, request

from promptcrafter.http import ignored_fields

WORKSPACE = "X-Workspace"  # of requests: the workspace that is meant where no id says it
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def init_app(app: Flask) -> None:
    """Add each header to the responses that do not have it."""
    app.after_request(_add_headers)


def _add_headers(response: Response) -> Response:
    headers = response.headers
    present = {name.lower() for name, _ in headers}  # setdefault raises and catches an exception per missing header
    for name, value in _HEADERS.items():
        if name.lower() not in present:
            headers.add(name, value)
    if response.status_code == 204:
        headers.pop("Content-Type", None)
    ignored = ignored_fields.write_header()
    if ignored is not None:
        headers.add(ignored_fields.HEADER, ignored)
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response
