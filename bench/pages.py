"""The main pages beside the JSON calls that ask the same, in a database of many logs, over one connection each."""

import http.client
from pathlib import Path
from urllib.parse import urlencode

from bench.client import EMAIL, PASSWORD, log_in
from bench.databases import Databases
from bench.load import put_under_load, request
from bench.page import keep_logs
from bench.servers import serve_ours
from bench.table import Figure, Goal

COUNT = 100_000
_SECONDS = 2.0
_FACTOR, _MORE_MS = 1.5, 10  # a page may take so many times what its call takes, and so many milliseconds more
# of each page, the call that asks the same
_PAGES = {
    "": "/stats?groupBy=day",
    "/prompts": "/prompts?per_page=50",
    "/prompts/{prompt}": "/prompts/{prompt}",
    "/outputs": "/logs?per_page=50",
    "/outputs?promptId={prompt}&minScore=8&sort=best": "/logs?promptId={prompt}&minScore=8&sort=best&per_page=50",
    "/outputs/{log}": "/logs/{log}",
    "/review?raters=2": "/reviews/next?raters=2",
    "/statistics": "/stats?groupBy=prompt",
    "/statistics?promptId={prompt}": "/prompts/{prompt}/stats?groupBy=version",
    "/experiments": "/experiments",
    "/runs": "/traces",
}


def measure(engine: str, databases: Databases, folder: Path, rounds: int, count: int = COUNT) -> list[Figure]:
    """Return, for each page, the median latency beside that of its call, and what it is beyond the goal."""
    figures = []
    with serve_ours(keep_logs(engine, databases, folder, count), folder) as server:
        client = log_in(server.port)
        known = {"prompt": client.find_prompt(), "log": client.call("GET", "/logs?per_page=1")[0]["_id"]}
        cookie = _sign_in(server.port)
        home = f"/app/w/{client.call('GET', '/workspaces')[0]['slug']}"
        for page, call in _PAGES.items():
            of_page = [request("GET", home + page.format(**known), "", cookie=cookie)]
            of_call = [request("GET", call.format(**known), client.token)]
            for requests in (of_page, of_call):  # what is computed once
                put_under_load(server.port, requests, 1, _SECONDS)
            pages, calls = [], []
            for _ in range(rounds):
                pages.append(_measure_ms(server.port, of_page))
                calls.append(_measure_ms(server.port, of_call))
            most = round(max(calls) * _FACTOR + _MORE_MS, 1)
            name = f"page `{page or '/'}` beside `GET {call}`, {count:,} logs: p50"
            figures.append(Figure(name, engine, "ms", pages, calls, Goal("≤", most)))
    return figures


def _measure_ms(port: int, requests: list[bytes]) -> float:
    load = put_under_load(port, requests, 1, _SECONDS)
    if load.errors:
        raise RuntimeError(f"{load.errors} of {load.sent} requests failed: {requests[0].splitlines()[0].decode()}")
    return load.percentile(50)


def _sign_in(port: int) -> str:
    """Return the cookie of a session."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    form = urlencode({"email": EMAIL, "password": PASSWORD})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://127.0.0.1:{port}"}
    connection.request("POST", "/app/sign-in", form, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 303:
        raise RuntimeError(f"the sign-in failed: {answer.status}")
    return str(answer.headers["Set-Cookie"]).partition(";")[0]
