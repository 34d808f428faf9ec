"""The routes under /traces."""

from typing import Any

import pytest

from tests.support.people import Answer, Person


def trace(person: Person, **values: Any) -> str:
    """Log a trace with a span and a generation, and return its id."""
    spans = [{"id": "1", "type": "span"}, {"id": "2", "type": "generation", "parentId": "1", "output": "x"}]
    answer = person.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": spans, **values})
    assert answer.status_code == 200, answer.text
    return str(answer.json["trace"]["id"])


def test_traces_are_listed_without_their_steps_newest_first_and_in_pages(ada: Person, ben: Person) -> None:
    ids = [trace(ada, name=f"t{number}") for number in range(3)]
    trace(ben)
    listed = ada.get("/traces").json
    assert [found["_id"] for found in listed] == ids[::-1]
    assert set(listed[0]) == {"_id", "source", "slug", "name", "createdAt"}
    page = ada.get("/traces?per_page=2")
    assert page.json == listed[:2]
    following = page.headers["Link"].split("localhost")[1].split(">")[0]
    assert ada.get(following).json == listed[2:]


def test_a_trace_is_accessible_to_its_owner_only(ada: Person, ben: Person) -> None:
    def status_and_message(answer: Answer) -> tuple[int, str]:
        return answer.status_code, answer.json["message"]

    trace_id = trace(ada)
    for method in ("GET", "DELETE"):
        assert status_and_message(ben.open(f"/traces/{trace_id}", method=method)) == (403, "You do not own this trace")
        assert status_and_message(ada.open("/traces/trace_1", method=method)) == (404, "Trace not found")
        assert status_and_message(ada.open("/traces/log_1", method=method)) == (400, "The trace ID format is invalid.")
    assert ada.get(f"/traces/{trace_id}").status_code == 200


def test_deleting_a_trace_deletes_its_logs_and_nothing_else(ada: Person) -> None:
    gone, stays = trace(ada), trace(ada)
    own = ada.log(ada.prompt())
    assert ada.delete(f"/traces/{gone}").status_code == 204
    assert [found["_id"] for found in ada.get("/traces").json] == [stays]
    assert {log.get("traceId", log["_id"]) for log in ada.get("/logs").json} == {stays, own["_id"]}


@pytest.mark.parametrize("gone", ["log", "prompt"])
def test_a_log_that_is_deleted_is_gone_from_its_trace(ada: Person, gone: str) -> None:
    prompt = ada.prompt(slug="qa")
    span = {"id": "2", "type": "generation", "prompt": {"slug": "qa", "tag": "latest"}, "output": "x"}
    trace_id = trace(ada, logs=[span])
    (log,) = ada.get(f"/traces/{trace_id}").json["logs"]
    ada.delete(f"/logs/{log['_id']}" if gone == "log" else f"/prompts/{prompt['_id']}")
    assert ada.get(f"/traces/{trace_id}").json["logs"] == []


def test_a_trace_whose_logs_are_large_is_streamed_whole(ada: Person) -> None:
    generations = [
        {
            "id": str(number),
            "type": "generation",
            "name": "g",
            "startTime": "2026-01-01T00:00:00Z",
            "output": "x" * 100_000,
        }
        for number in range(8)
    ]
    sent = ada.post("/basalt/monitor/trace", {"featureSlug": "f", "name": "n", "logs": generations})
    answer = ada.get(f"/traces/{sent.json['trace']['id']}")
    assert answer.headers.get("Content-Length") is None
    assert answer.json["logs"] == ada.get("/logs?sort=createdAt").json
    assert [log["spanId"] for log in answer.json["logs"]] == [str(number) for number in range(8)]
