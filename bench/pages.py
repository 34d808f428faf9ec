"""The pages beside the JSON calls that ask the same, and a review, in a workspace of a million logs."""

import time
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlencode

from bench.client import EMAIL, PASSWORD, Client, log_in
from bench.databases import Databases
from bench.load import find_percentile, put_under_load, request
from bench.page import COUNTS, keep_logs
from bench.servers import serve_ours
from bench.stats import wait_for_aggregates
from bench.table import Figure, Goal

_SECONDS = 1.0
_FACTOR, _MORE_MS = 1.5, 10  # a page may take so many times what its call takes, and so many milliseconds more
_REVIEWED = 60  # outputs of a review
_REVIEW_MS = 100  # from the key that scores an output until the next one is there
_STATS_MS = 1000  # with stored aggregates
# Of each page, the call that asks the same. All logs have a `score`, so a review of that would find nothing
_PAGES = {
    "": "/stats?groupBy=day&since=14d",
    "/prompts": "/prompts?per_page=50",
    "/prompts?q=prompt": "/search?q=prompt&per_page=50",
    "/prompts/{prompt}": "/prompts/{prompt}",
    "/outputs": "/logs?per_page=50",
    "/outputs?promptId={prompt}&minScore=8&sort=best": "/logs?promptId={prompt}&minScore=8&sort=best&per_page=50",
    "/outputs/{log}": "/logs/{log}",
    "/compare?log={log}&log={other}": "/logs?per_page=2",
    "/review?name=clarity&raters=2": "/reviews/next?name=clarity&raters=2",
    "/statistics": "/stats?groupBy=prompt",
    "/statistics?groupBy=author": "/stats?groupBy=author",
    "/statistics?groupBy=day": "/stats?groupBy=day",
    "/statistics?promptId={prompt}": "/prompts/{prompt}/stats?groupBy=version",
    "/experiments": "/experiments",
    "/runs": "/traces?per_page=50",
    "/settings/team": "/workspaces/{workspace}/members",
    "/settings/keys": "/auth/keys",
    "/settings/audit": "/workspaces/{workspace}/audit?per_page=50",
}


def measure(engine: str, databases: Databases, folder: Path, rounds: int) -> list[Figure]:
    """Return for each page the median time to the first byte, beside that of its call; and what a review takes."""
    figures = []
    with serve_ours(keep_logs(engine, databases, folder, COUNTS[-1]), folder) as server:
        client = log_in(server.port)
        newest, second = (log["_id"] for log in client.call("GET", "/logs?per_page=2"))
        workspace = client.call("GET", "/workspaces")[0]["slug"]
        known = {"prompt": client.find_prompt(), "log": newest, "other": second, "workspace": workspace}
        browser = _Browser(server.port, f"/app/w/{workspace}")
        for keys in ("prompt", "day"):
            wait_for_aggregates(server.port, [request("GET", f"/stats?groupBy={keys}", client.token)], _STATS_MS)
        for page, call in _PAGES.items():
            of_page = [request("GET", browser.home + page.format(**known), "", cookie=browser.cookie)]
            of_call = [request("GET", call.format(**known), client.token)]
            pages, calls = [], []
            for _ in range(rounds):
                calls.append(_measure_ms(server.port, of_call))
                pages.append(_measure_ms(server.port, of_page))
            most = round(find_percentile(sorted(calls), 50) * _FACTOR + _MORE_MS, 1)
            name = f"page `{page or '/'}` beside `GET {call}`: first byte, p50"
            figures.append(Figure(name, engine, "ms", pages, calls, Goal("≤", most)))
        figures += _measure_review(engine, client, browser, known["prompt"], rounds)
    return figures


def _measure_ms(port: int, requests: list[bytes]) -> float:
    load = put_under_load(port, requests, 1, _SECONDS)
    if load.errors:
        raise RuntimeError(f"{load.errors} of {load.sent} requests failed: {requests[0].splitlines()[0].decode()}")
    return find_percentile(load.first_bytes_ms, 50)


def _measure_review(engine: str, client: Client, browser: "_Browser", prompt: str, rounds: int) -> list[Figure]:
    """Review new outputs of a prompt as the page's script does, newest first, and delete them."""
    account = client.call("GET", f"/prompts/{prompt}")["ownerId"]
    medians, slowest = [], []
    for _ in range(rounds):
        body = {"promptId": prompt, "output": "An answer to review. " * 30, "modelUsed": "model-0", "input": "Why?"}
        results = client.call("POST", "/logs/batch", {"logs": [body] * _REVIEWED})["results"]
        ids = [each["_id"] for each in reversed(results)]
        try:
            times = sorted(browser.review(ids, account))
        finally:
            for log_id in ids:
                client.call("DELETE", f"/logs/{log_id}")
        medians.append(find_percentile(times, 50))
        slowest.append(find_percentile(times, 95))
    name = "review: a score is saved and the next output is there"
    return [
        Figure(f"{name}: p{percent}", engine, "ms", figures, goal=Goal("≤", _REVIEW_MS))
        for percent, figures in ((50, medians), (95, slowest))
    ]


class _Browser:
    """A browser that has signed in, with one connection."""

    def __init__(self, port: int, home: str) -> None:
        self.home = home
        self.cookie = ""
        self._origin = f"http://127.0.0.1:{port}"
        self._connection = HTTPConnection("127.0.0.1", port)
        self.cookie = self._send("POST", "/app/sign-in", {"email": EMAIL, "password": PASSWORD}, status=303)[1]

    def review(self, log_ids: list[str], account: str) -> list[float]:
        """Score outputs that are to be reviewed in this order; return the milliseconds from each to the next one."""
        times = []
        self._connection.close()  # which the server may have closed since; the next request opens one
        for log_id, following in pairwise(log_ids):
            form = {"output": log_id, "value": "7", "comment": "", "account": account}
            started = time.monotonic()
            self._send("POST", f"{self.home}/review/scores?name=score", form, status=204)
            page, _ = self._send("GET", f"{self.home}/review/next?order=newest&exclude={log_id}", {}, status=200)
            times.append((time.monotonic() - started) * 1000)
            if following not in page:
                raise RuntimeError(f"{following} is not the next output")
        return times

    def _send(self, method: str, path: str, form: dict[str, str], *, status: int) -> tuple[str, str]:
        """Return the body of the response and the cookie that it sets. Raises RuntimeError for another status."""
        headers = {"Origin": self._origin, "Cookie": self.cookie}
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, path, urlencode(form) or None, headers)
        answer = self._connection.getresponse()
        body = answer.read().decode()
        if answer.status != status:
            raise RuntimeError(f"{method} {path}: {answer.status} {body[:500]}")
        return body, str(answer.headers["Set-Cookie"]).partition(";")[0]
