"""What every answer's headers say to browsers and caches, unless the view has said something else."""

from flask import Flask, Response, request

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def init_app(app: Flask) -> None:
    """Add the headers to every answer."""
    app.after_request(_complete)


def _complete(response: Response) -> Response:
    headers = response.headers
    said = {name.lower() for name, _ in headers}  # setdefault would raise and catch an exception for each
    for name, value in _HEADERS.items():
        if name.lower() not in said:
            headers.add(name, value)
    if response.status_code == 204:
        headers.pop("Content-Type", None)
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response
