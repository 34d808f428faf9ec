"""WSGI middleware that serves the API below a path of a host, such as `https://example.com/promptcrafter/`.

The path is the setting SCRIPT_NAME or, without it, the header X-Forwarded-Prefix of a trusted proxy. Flask puts
`SCRIPT_NAME` of the environment before all links. The proxy may remove the path from requests or keep it.
"""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

from config import Config, read_prefix

_Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def init_app(app: Flask, config: Config) -> None:
    """Set the prefix of requests, if there can be one. Call it after all routes and other middlewares are registered.

    A prefix that begins as a route does, such as `/prompts`, cannot be told from the route. The proxy must then keep
    SCRIPT_NAME, as WSGI has it, and must have removed X-Forwarded-Prefix, as is usual.
    """
    if config.script_name:
        app.wsgi_app = _with_script_name(app.wsgi_app, config.script_name)  # type: ignore[method-assign, assignment]
    elif config.trusted_proxies:
        routes = {_first_segment(rule.rule) for rule in app.url_map.iter_rules()}
        app.wsgi_app = _with_forwarded_prefix(  # type: ignore[method-assign, assignment]
            app.wsgi_app, config.trusted_proxies, routes
        )


def _with_script_name(inner: _Wsgi, prefix: str) -> _Wsgi:
    def wrapped(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["SCRIPT_NAME"] = prefix
        _remove(environ, prefix)
        return inner(environ, start_response)

    return wrapped


def _with_forwarded_prefix(inner: _Wsgi, hops: int, routes: set[str]) -> _Wsgi:
    def wrapped(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        header = environ.get("HTTP_X_FORWARDED_PREFIX")
        if header and (prefix := _read_header(header, hops)):
            environ["SCRIPT_NAME"] = prefix
            if _first_segment(prefix) not in routes:
                _remove(environ, prefix)
        return inner(environ, start_response)

    return wrapped


def _read_header(header: str, hops: int) -> str:
    """Return the prefix that the outermost trusted proxy has set; `""` if it is malformed.

    Unlike with X-Forwarded-For, not every proxy adds a value. Of fewer values than proxies the first one counts.
    """
    values = header.split(",")
    try:
        return read_prefix(values[-min(hops, len(values))].strip())
    except ValueError:
        return ""


def _remove(environ: dict[str, Any], prefix: str) -> None:
    """Remove the prefix from the path, unless the proxy has removed it already."""
    path = environ["PATH_INFO"]
    if path == prefix or path.startswith(f"{prefix}/"):
        environ["PATH_INFO"] = path[len(prefix) :] or "/"


def _first_segment(path: str) -> str:
    return path.split("/", 2)[1]
