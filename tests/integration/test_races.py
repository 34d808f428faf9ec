"""Concurrent changes through Gunicorn, on both databases: no 500, no duplicates."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.servers import LiveServer


@pytest.fixture
def server(any_live_server: LiveServer) -> LiveServer:
    return any_live_server


def test_concurrent_changes_and_deletes_end_in_200_204_or_404(server: LiveServer) -> None:
    token = sign_up(server)
    connection = Connection(server, token)
    kept = create_prompt(connection)
    body = {"promptId": kept, "output": "x", "modelUsed": "m"}
    paths = [f"/prompts/{create_prompt(connection)}" for _ in range(12)]
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


def test_logs_are_accepted_while_prompts_are_created_and_deleted(server: LiveServer) -> None:
    token = sign_up(server)
    kept = create_prompt(Connection(server, token))

    def write(number: int) -> int:
        connection = Connection(server, token)
        if number % 3:
            body = {"promptId": kept, "output": str(number), "modelUsed": "m"}
            return connection.call("POST", "/logs", body).status
        return connection.call("DELETE", f"/prompts/{create_prompt(connection)}").status

    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(write, range(60)))
    assert answers == {201: 40, 204: 20}


def test_a_slug_sent_concurrently_is_taken_once_and_derived_slugs_never_clash(server: LiveServer) -> None:
    token = sign_up(server)

    def save(number: int) -> int:
        body = {"title": "Same title", "content": "c", "model": "m", **({"slug": "one"} if number % 2 else {})}
        return Connection(server, token).call("POST", "/prompts", body).status

    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(save, range(24)))
    assert answers == {201: 13, 409: 11}
    slugs = [prompt["slug"] for prompt in Connection(server, token).call("GET", "/prompts").json]
    assert sorted(slugs) == sorted({"one", "same-title", *(f"same-title-{n}" for n in range(2, 13))})


def test_one_of_two_concurrent_sign_ups_with_the_same_address_gets_an_account(server: LiveServer) -> None:
    forms = ["race{}-\u00e9@example.com", "race{}-e\u0301@example.com", "RACE{}-\u00c9@example.com"]

    def sign_up_as(number: int) -> tuple[int, int]:
        person = number // len(forms)
        email = forms[number % len(forms)].format(person)
        body = {"name": "Eve", "email": email, "password": "the password of eve"}
        while (status := Connection(server).call("POST", "/auth/signup", body).status) == 503:
            time.sleep(0.05)  # more passwords at the same time than the workers hash
        return person, status

    with ThreadPoolExecutor(6) as pool:
        answers = Counter(pool.map(sign_up_as, range(12)))
    assert answers == {(person, status): 1 if status == 201 else 2 for person in range(4) for status in (201, 409)}


def test_of_concurrent_label_moves_from_one_state_one_succeeds(server: LiveServer) -> None:
    token = sign_up(server)
    prompt = create_prompt(Connection(server, token))
    path = f"/prompts/{prompt}"
    for content in ("two", "three", "four"):
        Connection(server, token).call("PATCH", path, {"content": content})

    def move(version: int) -> tuple[int, str]:
        connection = Connection(server, token)
        answer = connection.call("PUT", f"{path}/labels/production", {"version": version}, If_Match=tag)
        return answer.status, answer.headers.get("ETag", "")

    for _ in range(5):
        tag = Connection(server, token).call("GET", path).headers["ETag"]
        current = Connection(server, token).call("GET", f"{path}/versions/production")
        others = {1, 2, 3, 4} - ({current.json["version"]} if current.status == 200 else set())
        with ThreadPoolExecutor(4) as pool:
            answers = Counter(status for status, _ in pool.map(move, others))
        assert answers == {200: 1, 412: len(others) - 1}
        seen = {Connection(server, token).call("GET", path, If_None_Match=tag).status for _ in range(8)}
        assert seen == {200}, "every worker sees the new state"


def test_outputs_of_other_systems_are_stored_while_prompts_are_deleted(server: LiveServer) -> None:
    token = sign_up(server)
    flip = {"title": "Flip", "slug": "flip", "content": "c", "model": "m"}
    generation = {"id": "1", "type": "generation", "prompt": {"slug": "flip", "tag": "latest"}, "output": "x"}
    variant = {"key": "A", "trafficPercent": 1}

    def act(number: int) -> tuple[str, int]:
        connection = Connection(server, token)
        if number % 4 == 0:
            saved = connection.call("POST", "/prompts", flip)
            if saved.status == 201:
                tied = [{**variant, "promptId": saved.json["_id"]}]
                made = connection.call("POST", "/experiments", {"slug": f"e{number}", "name": "n", "variants": tied})
                assert made.status in (201, 404), made.body
                return "delete", connection.call("DELETE", f"/prompts/{saved.json['_id']}").status
            return "delete", {409: 204}[saved.status]
        if number % 4 == 1:
            path = "/monitor/log"
            body: dict[str, Any] = {"slug": "flip", "tag": "latest", "output": "x"}
        elif number % 4 == 2:
            experiment = connection.call("POST", "/basalt/monitor/experiments", {"featureSlug": "f", "name": "n"}).json
            path = "/basalt/monitor/trace"
            body = {"featureSlug": "f", "experiment": {"id": experiment["id"]}, "logs": [generation]}
        else:
            slugs = [found["slug"] for found in connection.call("GET", "/experiments").json if found["featureSlug"]]
            for slug in slugs[:2]:
                assert connection.call("DELETE", f"/experiments/{slug}").status in (204, 404)
            return "delete", 204
        return path, connection.call("POST", path, body).status

    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(act, range(160)))
    assert set(answers) == {("delete", 204), ("/monitor/log", 200), ("/basalt/monitor/trace", 200)}, server.log
    assert "deadlock" not in server.log


def test_publishing_runs_concurrently_with_changes_of_labels(server: LiveServer) -> None:
    token = sign_up(server)
    connection = Connection(server, token)
    body = {"title": "QA bot", "slug": "qa", "content": "c", "model": "m"}
    prompt_id = connection.call("POST", "/prompts", body).json["_id"]
    connection.call("PATCH", f"/prompts/{prompt_id}", {"content": "d"})
    calls = [
        ("POST", "/basalt/prompts/qa/publish", {"newTag": "production", "version": "1"}, {201}),
        ("POST", "/basalt/prompts/qa/publish", {"newTag": "production", "tag": "latest"}, {201}),
        ("PUT", f"/prompts/{prompt_id}/labels/production", {"version": 2}, {200}),
        ("DELETE", f"/prompts/{prompt_id}/labels/production", None, {204, 404}),
    ]

    def make(number: int) -> bool:
        method, path, body, allowed = calls[number % 4]
        return Connection(server, token).call(method, path, body).status in allowed

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(make, range(120)))
