"""The way in for Basalt's own SDKs, which know a host and no folder under it."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

_PREFIX = "/basalt"
_Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def init_app(app: Flask) -> None:
    """Send what carries the SDKs' header to this dialect: `/prompts` means another thing to everybody else."""
    app.wsgi_app = _route_sdk(app.wsgi_app)  # type: ignore[method-assign, assignment]


def _route_sdk(inner: _Wsgi) -> _Wsgi:
    def route(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if "HTTP_X_BASALT_SDK_TYPE" in environ and not path.startswith(f"{_PREFIX}/"):
            environ["PATH_INFO"] = _PREFIX + path
        return inner(environ, start_response)

    return route
