"""Log records of OpenTelemetry's exporters: content of calls, and results of evaluations."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from promptcrafter import clock
from promptcrafter.maintenance import purge
from promptcrafter.traces import early_arrivals
from tests.support.otlp import START_NS, TRACE, export, export_records, make_record, make_span, read_rejections
from tests.support.people import Person

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.id": "chatcmpl-1",
}
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}}
RESULT = {"gen_ai.evaluation.name": "Relevance", "gen_ai.evaluation.score.value": 0.75}
EVALUATION = "gen_ai.evaluation.result"


def messages_of(span: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the records of a call: its messages in the order in which they were sent, and the answer."""
    return [
        make_record("gen_ai.system.message", span=span, body={"content": "Be kind."}),
        make_record("gen_ai.user.message", span=span, body={"content": "Hello?"}, time_ns=START_NS + 1),
        make_record("gen_ai.choice", span=span, body=CHOICE, time_ns=START_NS + 2),
    ]


def contents(person: Person) -> tuple[Any, Any]:
    (log,) = person.get("/logs").json
    return json.loads(log["input"]) if log.get("input") else None, log["output"] or None


CHAT = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}]


@pytest.mark.parametrize("order", ["span first", "span last", "span between", "one by one", "twice"])
def test_content_in_log_records_is_joined_to_its_span_in_any_order(ada: Person, order: str) -> None:
    span = make_span(CALL)
    records = messages_of(span)

    def each_request() -> Iterator[Any]:
        if order == "span first":
            yield export(ada, span)
            yield export_records(ada, *records)
        elif order == "span last":
            yield export_records(ada, *reversed(records))
            yield export(ada, span)
        elif order == "span between":
            yield export_records(ada, records[1])
            yield export(ada, span)
            yield export_records(ada, records[2], records[0])
        elif order == "one by one":
            yield export(ada, span)
            for record in reversed(records):
                yield export_records(ada, record)
        else:
            for _ in range(2):
                yield export_records(ada, *records)
                yield export(ada, span)

    for answer in each_request():
        assert (answer.status_code, answer.data) == (200, b"")
    assert contents(ada) == (CHAT, "Hi.")
    (log,) = ada.get("/logs?q=hi").json
    assert log["cost"] > 0


def test_content_that_the_span_has_is_not_doubled(ada: Person) -> None:
    sent = [{"role": "user", "parts": [{"type": "text", "content": "From the span"}]}]
    span = make_span({**CALL, "gen_ai.input.messages": json.dumps(sent)})
    export_records(ada, *messages_of(span))
    export(ada, span)
    export_records(ada, make_record("gen_ai.user.message", span=span, body={"content": "More"}))
    assert contents(ada) == ([{"role": "user", "content": "From the span"}], "Hi.")


@pytest.mark.parametrize("is_body", [True, False])
def test_the_details_of_an_inference_are_content_in_the_body_or_in_attributes(ada: Person, *, is_body: bool) -> None:
    span = make_span(CALL)
    details = {
        "gen_ai.system_instructions": [{"type": "text", "content": "Be kind."}],
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "Hello?"}]}],
        "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": "Hi."}]}],
    }
    placed: dict[str, Any] = {"body": details} if is_body else {"attributes": details}
    named = {"event.name": "gen_ai.client.inference.operation.details"}
    attributes = {**placed.pop("attributes", {}), **named}
    export_records(ada, make_record("", span=span, attributes=attributes, **placed))
    export(ada, span)
    assert contents(ada) == (CHAT, "Hi.")


def test_records_in_json_are_the_same(ada: Person) -> None:
    span = make_span(CALL)
    record = {
        "traceId": span["trace_id"].upper(),
        "spanId": span["span_id"],
        "timeUnixNano": str(START_NS),
        "eventName": "gen_ai.user.message",
        "body": {"kvlistValue": {"values": [{"key": "content", "value": {"stringValue": "Hello?"}}]}},
    }
    bad = {**record, "spanId": "xyz"}
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [bad, record]}]}]}
    answer = ada.post("/v1/logs", json=body)
    assert answer.status_code == 200
    assert answer.json["partialSuccess"]["rejectedLogRecords"] == "1"
    assert "span_id must be empty or have 8 bytes" in answer.json["partialSuccess"]["errorMessage"]
    export(ada, span)
    assert contents(ada) == ([{"role": "user", "content": "Hello?"}], None)


@pytest.mark.parametrize("is_early", [True, False])
@pytest.mark.parametrize("by", ["span", "response"])
def test_the_result_of_an_evaluation_is_a_score_of_a_judge(ada: Person, by: str, *, is_early: bool) -> None:
    span = make_span(CALL)
    explained = {**RESULT, "gen_ai.evaluation.score.label": "good", "gen_ai.evaluation.explanation": "To the point."}
    record = (
        make_record(EVALUATION, span=span, attributes=explained)
        if by == "span"
        else make_record(EVALUATION, attributes={**explained, "gen_ai.response.id": "chatcmpl-1"})
    )
    requests = [(export_records, record), (export, span)]
    for send, item in requests if is_early else requests[::-1]:
        assert send(ada, item).data == b""
    export_records(ada, record)
    (score,) = ada.get("/scores").json
    (log,) = ada.get("/logs").json
    assert (score["logId"], score["name"], score["value"]) == (log["_id"], "Relevance", 0.75)
    assert (score["annotator"], score["comment"]) == ("judge", "good: To the point.")


def test_a_record_that_breaks_a_rule_costs_only_itself_and_others_are_dropped(ada: Person) -> None:
    span = make_span(CALL)
    export(ada, span)
    answer = export_records(
        ada,
        make_record("", body="GET /health 200"),
        make_record("gen_ai.user.message", body={"content": "Whose?"}),
        make_record(EVALUATION, span=span, attributes={"gen_ai.evaluation.name": "Nothing"}),
        make_record(EVALUATION, attributes=RESULT),
        make_record(EVALUATION, span=span, attributes={**RESULT, "gen_ai.evaluation.name": "1st"}),
        make_record(EVALUATION, span=span, attributes=RESULT),
        *messages_of(span),
    )
    rejected, message = read_rejections(answer)
    assert rejected == 4
    assert "gen_ai.user.message must have a trace_id and a span_id" in message
    assert "name must be a letter and up to 63 letters" in message
    assert [score["name"] for score in ada.get("/scores").json] == ["Relevance"]
    assert contents(ada) == (CHAT, "Hi.")


def test_a_score_that_a_config_forbids_is_rejected(ada: Person) -> None:
    ada.put("/score-configs/Relevance", json={"kind": "boolean"})
    span = make_span(CALL)
    rejected, message = read_rejections(export_records(ada, make_record(EVALUATION, span=span, attributes=RESULT)))
    assert (rejected, "must be true or false" in message) == (1, True)


def test_what_waits_for_a_day_is_dropped_and_counted(app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: Counter[str] = Counter()

    def count(_: object, kinds: Counter[str]) -> None:
        dropped.update(kinds)

    joined, span = make_span(CALL), make_span({**CALL, "gen_ai.response.id": "another"})
    export(ada, joined)
    export_records(ada, *messages_of(joined), *messages_of(span))
    export_records(ada, make_record(EVALUATION, span=span, attributes=RESULT))
    later = clock.now() + timedelta(hours=24, minutes=1)
    with app.app_context(), early_arrivals.arrivals_dropped.connected_to(count):
        assert early_arrivals.count_waiting() == {"event": 3, "score": 1}
        assert purge.run() is purge.Outcome.DONE
        assert early_arrivals.count_waiting() == {"event": 3, "score": 1}
        with monkeypatch.context() as patched:
            patched.setattr(clock, "now", lambda: later)
            assert purge.run() is purge.Outcome.DONE
        assert not early_arrivals.has_any()
    assert dropped == {"event": 3, "score": 1}, "what was joined is not dropped"
    export(ada, span)
    assert [log["output"] for log in ada.get("/logs").json] == ["", "Hi."]
    assert ada.get("/scores").json == []


def test_of_too_much_that_waits_the_oldest_is_dropped(app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_arrivals, "MOST", 5)
    first, second = make_span(CALL), make_span(CALL)
    export_records(ada, *messages_of(first))
    export_records(ada, *messages_of(second))
    with app.app_context():
        assert early_arrivals.count_waiting() == {"event": 5}
    export(ada, first)
    assert contents(ada) == ([CHAT[1]], "Hi.")


def test_nothing_is_joined_across_workspaces(ada: Person, ben: Person) -> None:
    span = make_span(CALL)
    export_records(ben, *messages_of(span), make_record(EVALUATION, span=span, attributes=RESULT))
    export(ada, span)
    assert contents(ada) == (None, None)
    assert ada.get("/scores").json == []
    export(ben, span)
    assert contents(ben) == (CHAT, "Hi.")
    assert len(ben.get("/scores").json) == 1
    assert span["trace_id"] == TRACE
