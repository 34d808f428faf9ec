"""Changes that meet each other, through the real Gunicorn on both databases: no 500, nothing twice."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import LiveServer
from tests.live.client import Connection, new_prompt, sign_up


@pytest.fixture
def server(start_server: Callable[..., LiveServer], database_url: str) -> LiveServer:
    return start_server(database_url.replace("+psycopg", ""), migrate=False)


def test_changes_and_deletes_that_meet_end_in_200_204_or_404(server: LiveServer) -> None:
    token = sign_up(server)
    connection = Connection(server, token)
    kept = new_prompt(connection)
    body = {"promptId": kept, "output": "x", "modelUsed": "m"}
    paths = [f"/prompts/{new_prompt(connection)}" for _ in range(12)]
    paths += [f"/logs/{connection.call('POST', '/logs', body).json['_id']}" for _ in range(12)]
    calls = [
        (method, path, change)
        for path in paths
        for method, change in (
            ("PATCH", {"notes": "a", "content": "a"}),
            ("DELETE", None),
            ("PATCH", {"notes": "b", "title": "Another"}),
            ("DELETE", None),
        )
    ]

    def make(call: tuple[str, str, dict[str, str] | None]) -> tuple[str, int]:
        method, path, change = call
        return method, Connection(server, token).call(method, path, change).status

    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(make, calls))
    assert {status for _, status in answers} <= {200, 204, 404}
    assert answers["DELETE", 204] == len(paths)


def test_logs_keep_coming_in_while_prompts_are_made_and_deleted(server: LiveServer) -> None:
    token = sign_up(server)
    kept = new_prompt(Connection(server, token))

    def write(number: int) -> int:
        connection = Connection(server, token)
        if number % 3:
            body = {"promptId": kept, "output": str(number), "modelUsed": "m"}
            return connection.call("POST", "/logs", body).status
        return connection.call("DELETE", f"/prompts/{new_prompt(connection)}").status

    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(write, range(60)))
    assert answers == {201: 40, 204: 20}


def test_one_slug_sent_at_once_is_given_once_and_derived_ones_never_clash(server: LiveServer) -> None:
    token = sign_up(server)

    def save(number: int) -> int:
        body = {"title": "Same title", "content": "c", "model": "m", **({"slug": "one"} if number % 2 else {})}
        return Connection(server, token).call("POST", "/prompts", body).status

    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(save, range(24)))
    assert answers == {201: 13, 409: 11}
    slugs = [prompt["slug"] for prompt in Connection(server, token).call("GET", "/prompts").json]
    assert sorted(slugs) == sorted({"one", "same-title", *(f"same-title-{n}" for n in range(2, 13))})
