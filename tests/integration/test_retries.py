"""Retries with one Idempotency-Key through Gunicorn, on both databases."""

import http.client
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.connection import Answer, Connection, create_prompt, sign_up
from tests.support.servers import LiveServer


def test_a_retry_after_a_crash_between_commit_and_response_creates_no_second_row(
    start_server: Callable[..., LiveServer], database_url: str, tmp_path: Path
) -> None:
    order = tmp_path / "die"
    settings = {"app": "tests.integration.crash_app:app", "DIE_AFTER_COMMIT": str(order)}
    server = start_server(database_url.replace("+psycopg", ""), migrate=False, **settings)
    connection = Connection(server, sign_up(server))
    body = {"promptId": create_prompt(connection), "output": "once", "modelUsed": "m"}
    order.touch()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.call("POST", "/logs", body, Idempotency_Key="a")
    assert not order.exists()
    connection.close()
    retried = connection.call("POST", "/logs", body, Idempotency_Key="a")
    assert (retried.status, retried.headers["Idempotency-Replayed"]) == (201, "true")
    assert connection.call("GET", "/logs").json == [retried.json]


def test_concurrent_equal_requests_create_one_resource_and_get_the_same_response(any_live_server: LiveServer) -> None:
    server = any_live_server
    token = sign_up(server)
    prompt_id = create_prompt(Connection(server, token))
    requests: list[tuple[str, dict[str, Any]]] = [
        ("/logs", {"promptId": prompt_id, "output": "x", "modelUsed": "m"}),
        ("/prompts", {"title": "Once only", "content": "c", "model": "m", "slug": "once"}),
        ("/monitor/log", {"slug": "once", "output": "x"}),
    ]

    def send(number: int) -> tuple[int, Answer]:
        which = number % len(requests)
        path, body = requests[which]
        return which, Connection(server, token).call("POST", path, body, Idempotency_Key=f"key-{which}")

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(send, range(36)))
    for which in range(len(requests)):
        of_one = [answer for number, answer in answers if number == which]
        assert {answer.body for answer in of_one} == {of_one[0].body}, [answer.body for answer in of_one]
        assert sum("Idempotency-Replayed" not in answer.headers for answer in of_one) == 1
    connection = Connection(server, token)
    assert len(connection.call("GET", "/logs").json) == 2
    assert len(connection.call("GET", "/prompts").json) == 2
