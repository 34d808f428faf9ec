"""WSGI middleware for Basalt's own SDKs, which can be configured with a host but not with a path prefix."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

_PREFIX = "/basalt"
_Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def init_app(app: Flask) -> None:
    """Add the prefix `/basalt` to requests with the SDKs' header; for other clients `/prompts` is a native route."""
    app.wsgi_app = _route_sdk(app.wsgi_app)  # type: ignore[method-assign, assignment]


def _route_sdk(inner: _Wsgi) -> _Wsgi:
    def route(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if "HTTP_X_BASALT_SDK_TYPE" in environ and not path.startswith(f"{_PREFIX}/"):
            environ["PATH_INFO"] = _PREFIX + path
        return inner(environ, start_response)

    return route
