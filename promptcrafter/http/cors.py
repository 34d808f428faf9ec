"""Cross-origin requests (CORS, https://fetch.spec.whatwg.org): pages of the origins in CORS_ORIGINS may call the API.

A browser asks first, with an OPTIONS request that has no credentials (preflight), and shows a page only responses that
name its origin. Credentials of the API are in headers that a page has to set itself, never in cookies, so
`Access-Control-Allow-Credentials` is never sent. See decision record 35.
"""

from flask import Flask, Response, request

from config import Config

_ALL = "*"
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
    # Those that the API reads and that a page may not send otherwise
    "Access-Control-Allow-Headers": "Accept, Authorization, Content-Encoding, Content-Type, Idempotency-Key, If-Match, "
    "If-None-Match, X-Api-Key, X-Basalt-Sdk-Type, X-Basalt-Sdk-Version, X-Request-Id, X-Workspace",
    "Access-Control-Max-Age": "7200",  # seconds, the most that Chromium keeps
}
# Those that a program may need and that a page may not read otherwise
_EXPOSED = (
    "Allow, Content-Disposition, ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, "
    "WWW-Authenticate, X-Ignored-Fields, X-Request-Id, X-Total-Count, X-Truncated"
)


class _Cors:
    def __init__(self, origins: list[str]) -> None:
        self.origins = frozenset(origins)
        self.allows_all = _ALL in self.origins

    def answer_preflight(self) -> Response | None:
        """Answer a preflight of an allowed origin for any path and method, so that the page sees a later 404 or 405."""
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        return Response(status=204, headers=_PREFLIGHT) if is_preflight and self._allowed_origin() else None

    def add_headers(self, response: Response) -> Response:
        """Name the request's origin if it is allowed."""
        if not self.allows_all:
            response.vary.add("Origin")
        if origin := self._allowed_origin():
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        return response

    def _allowed_origin(self) -> str | None:
        """Return the value of `Access-Control-Allow-Origin`, None if the request's origin is not allowed."""
        origin = request.headers.get("Origin")
        if self.allows_all:
            return _ALL
        return origin if origin in self.origins else None


def init_app(app: Flask, config: Config) -> None:
    """Answer preflights before all other checks, and add the headers to all responses; nothing without origins."""
    if config.cors_origins:
        cors = _Cors(config.cors_origins.split(","))
        app.before_request(cors.answer_preflight)
        app.after_request(cors.add_headers)


def headers_without_request(config: Config) -> dict[str, str]:
    """Return the headers of a response to a request that could not be read: those that suit any sender.

    With several origins there are none, because the header names exactly one.
    """
    if not config.cors_origins or "," in config.cors_origins:
        return {}
    vary = {} if config.cors_origins == _ALL else {"Vary": "Origin"}
    return {**vary, "Access-Control-Allow-Origin": config.cors_origins, "Access-Control-Expose-Headers": _EXPOSED}
