"""Concurrent scores through Gunicorn, on both databases: a log ends with its last figure and the mean of its raters."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean
from typing import Any

import pytest

from promptcrafter.logs.scores import SCORES_MAX
from tests.integration.test_races_workspaces import at_once, create_team, writers
from tests.support.connection import Connection, create_prompt, sign_up
from tests.support.servers import LiveServer

NAMES = ("ada", "ben", "eve")
_ROUNDS = 5


@pytest.fixture
def server(any_live_server: LiveServer) -> Iterator[LiveServer]:
    yield any_live_server
    assert "deadlock" not in any_live_server.log


@pytest.fixture
def secrets(server: LiveServer) -> dict[str, str]:
    """The tokens of three members of one workspace, which is the current one of each."""
    people = {name: sign_up(server, name) for name in NAMES}
    slug = create_team(server, people, 0, dict.fromkeys(NAMES[1:], "editor"))
    for token in people.values():
        connection = Connection(server, token)
        team = connection.call("GET", f"/workspaces/{slug}").json["_id"]
        assert connection.call("PATCH", "/auth/me", {"defaultWorkspaceId": team}).status == 200
    return people


def add_logs(connection: Connection, prompt: str, count: int) -> list[str]:
    logs = [{"promptId": prompt, "output": str(number), "modelUsed": "m"} for number in range(count)]
    return [result["_id"] for result in connection.call("POST", "/logs/batch", {"logs": logs}).json["results"]]


def assert_consistent(connection: Connection, prompt: str, logs: Sequence[str]) -> None:
    """Compare what logs and statistics show with the scores that are stored."""
    means = []
    for log in logs:
        scores = [
            score
            for score in connection.call("GET", f"/logs/{log}/scores").json
            if (score["name"], score["annotator"]) == ("score", "human")
        ]
        of_raters: dict[str, list[float]] = {}
        for score in scores:
            of_raters.setdefault(score["author"]["userId"], []).append(score["value"])
        means += [fmean(map(fmean, of_raters.values()))] if scores else []
        figure = connection.call("GET", f"/logs/{log}").json["score"]
        assert figure is None or figure in [score["value"] for score in scores]
    group = connection.call("GET", f"/prompts/{prompt}/stats?groupBy=version").json["groups"][0]["score"]
    assert group["mean"] == pytest.approx(fmean(means)) if means else group["mean"] is None


def test_raters_of_one_output_at_once_are_all_kept(server: LiveServer, secrets: dict[str, str]) -> None:
    owner = Connection(server, secrets["ada"])
    prompt = create_prompt(owner)
    logs = add_logs(owner, prompt, _ROUNDS)
    for number, log in enumerate(logs):
        calls = [
            (Connection(server, secrets[name]), method, f"/logs/{log}{path}", {"name": "score", "score": v, "value": v})
            for v, (name, method, path) in enumerate(
                [("ada", "PATCH", ""), ("ben", "POST", "/scores"), ("eve", "PATCH", ""), ("ben", "POST", "/scores")]
            )
        ]
        answers = at_once(calls)
        assert sorted(answer.status for answer in answers) == [200, 200, 200, 201], number
        scores = owner.call("GET", f"/logs/{log}/scores").json
        assert sorted(score["author"]["name"] for score in scores) == list(NAMES)
    assert_consistent(owner, prompt, logs)


def test_a_log_takes_scores_from_many_connections_up_to_its_maximum(
    server: LiveServer, secrets: dict[str, str]
) -> None:
    owner = Connection(server, secrets["ada"])
    prompt = create_prompt(owner)
    (log,) = add_logs(owner, prompt, 1)
    most = [{"logId": log, "name": "other", "value": number, "identifier": str(number)} for number in range(900)]
    assert {each["status"] for each in owner.call("POST", "/scores/batch", {"scores": most}).json["results"]} == {201}

    def write(number: int) -> int:
        connection = Connection(server, secrets[NAMES[number % 3]])
        body = {"name": "score", "value": number % 11, "identifier": str(number)}
        return connection.call("POST", f"/logs/{log}/scores", body).status

    with ThreadPoolExecutor(6) as pool:
        answers = Counter(pool.map(write, range(110)))
    assert answers == {201: SCORES_MAX - 900, 409: 10}
    assert len(owner.call("GET", f"/logs/{log}/scores").json) == SCORES_MAX
    assert_consistent(owner, prompt, [log])


def test_batches_in_different_orders_beside_changes_and_deletions_end_well(
    server: LiveServer, secrets: dict[str, str]
) -> None:
    owner = Connection(server, secrets["ada"])
    prompt, doomed = create_prompt(owner), create_prompt(owner)
    logs, of_doomed = add_logs(owner, prompt, 150), add_logs(owner, doomed, 150)
    mixed = [log for pair in zip(logs, of_doomed, strict=True) for log in pair]
    orders = [mixed, mixed[::-1], mixed[1::2] + mixed[::2]]
    batches = [
        {"scores": [{"logId": log, "name": "score", "value": number % 11} for number, log in enumerate(order * 3)]}
        for order in orders
    ]
    calls: list[tuple[Connection, str, str, Any]] = [
        (Connection(server, secrets[name]), "POST", "/scores/batch", batch)
        for name, batch in zip(NAMES, batches, strict=True)
    ]
    others: list[tuple[Connection, str, str, Any]] = [
        (Connection(server, secrets["ben"]), "PATCH", f"/logs/{logs[3]}", {"score": None, "notes": "n"}),
        (Connection(server, secrets["eve"]), "DELETE", f"/logs/{logs[-1]}", None),
        (Connection(server, secrets["ada"]), "DELETE", f"/prompts/{doomed}", None),
    ]
    with writers(server, [secrets["eve"]], [(f"/logs/{logs[0]}/scores", {"name": "tone", "value": "kind"})]) as seen:
        answers = at_once([*calls, *others])
    assert seen.keys() <= {(200, ""), (201, "")}
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 204, 204], server.log
    for answer in answers[:3]:
        assert {each["status"] for each in answer.json["results"]} <= {200, 201, 404}
        assert len(answer.json["results"]) == 900
    left = logs[:-1]
    assert {score["logId"] for score in owner.call("GET", "/scores").json} == set(left)
    assert len(owner.call("GET", "/scores?name=score").json) >= 3 * len(left) - 1
    assert_consistent(owner, prompt, [*left[:5], *left[-5:]] if len(left) <= 10 else left)
