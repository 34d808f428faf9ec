"""A small reverse proxy that serves a service below a path of its host, as nginx and Caddy do."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from tests.support.servers import LiveServer


@contextmanager
def proxied(server: LiveServer, prefix: str, *, removes: bool, headers: dict[str, str]) -> Iterator[str]:
    """Yield the address of a proxy with `prefix`; what is outside of it is 404.

    `removes` says whether the proxy removes the prefix from requests; `headers` are those that it sets.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            sent = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            upstream = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
            path = self.path.removeprefix(prefix) if removes else self.path
            upstream.request(self.command, path, body, {**sent, **headers})
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = forward

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}).start()
        yield f"http://127.0.0.1:{proxy.server_port}{prefix}"
        proxy.shutdown()
