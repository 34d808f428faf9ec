"""Spans, log records and scores that arrive at the same time at several workers."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from types import ModuleType
from typing import Any

import pytest
from flask import Flask

from promptcrafter.database.transactions import writing
from promptcrafter.traces import early_arrivals, span_scores
from promptcrafter.traces.span_scores import put_scores_of_spans
from promptcrafter.workspaces.principal import in_workspace, personal_workspace_id
from tests.support.otlp import encode, encode_records, export, make_record, make_span
from tests.support.people import Caller, Person

ROUNDS = 8
CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.response.id": "r"}
RESULT = {"gen_ai.evaluation.score.value": 1.0}
PROTOBUF = "application/x-protobuf"


def run_at_once(senders: Sequence[Callable[[], None]]) -> None:
    """Call the functions in threads that begin at the same moment; raise what one of them raises."""
    barrier = Barrier(len(senders))

    def run(sender: Callable[[], None]) -> None:
        barrier.wait()
        sender()

    with ThreadPoolExecutor(len(senders)) as pool:
        list(pool.map(run, senders))


def test_scores_and_content_that_arrive_together_with_their_spans_are_there_once(app: Flask, ada: Person) -> None:
    def send(path: str, body: bytes) -> Callable[[], None]:
        def call() -> None:
            answer = Caller(app.test_client(), ada.headers).open(path, method="POST", data=body, content_type=PROTOBUF)
            assert (answer.status_code, answer.data) == (200, b""), answer.text

        return call

    def put(trace_id: str) -> Callable[[], None]:
        def call() -> None:
            key = {"trace_id": trace_id, "name": "whole", "annotator": "human", "identifier": ""}
            value = {"value_kind": "number", "number": 5.0, "category": None, "comment": None}
            with app.app_context():
                principal = in_workspace(ada.id, personal_workspace_id(ada.id))
                with writing():
                    put_scores_of_spans(principal, [{**key, **value}])

        return call

    for number in range(1, ROUNDS + 1):
        trace_id = f"{number:032x}"
        attributes = {**CALL, "gen_ai.response.id": f"response {number}"}
        first = make_span(attributes, trace_id=trace_id, name="first")
        second = make_span({**CALL, "gen_ai.response.id": "another"}, trace_id=trace_id, name="second")
        by_response = {**RESULT, "gen_ai.evaluation.name": "response", "gen_ai.response.id": f"response {number}"}
        records = [
            make_record("gen_ai.user.message", span=first, body={"content": "Hello?"}),
            make_record(
                "gen_ai.evaluation.result", span=first, attributes={**RESULT, "gen_ai.evaluation.name": "span"}
            ),
            make_record("gen_ai.evaluation.result", attributes=by_response),
        ]
        run_at_once(
            [
                send("/v1/traces", encode([first])),
                send("/v1/traces", encode([second])),
                send("/v1/logs", encode_records(records)),
                put(trace_id),
            ]
        )
        run_at_once([send("/v1/logs", encode_records(records)), send("/v1/traces", encode([second, first]))])

    with app.app_context():
        assert early_arrivals.count_waiting() == {}
    logs: list[dict[str, Any]] = ada.get("/logs").json
    scores: list[dict[str, Any]] = ada.get("/scores").json
    assert len(logs) == 2 * ROUNDS
    assert sorted(score["name"] for score in scores) == ["response"] * ROUNDS + ["span"] * ROUNDS + ["whole"] * ROUNDS
    names = {log["_id"]: log["name"] for log in logs}
    assert all(names[score["logId"]] == "first" for score in scores if score["name"] == "span")
    asked = [json.loads(log["input"]) for log in logs if log["name"] == "first"]
    assert asked == [[{"role": "user", "content": "Hello?"}]] * ROUNDS


@pytest.mark.parametrize("has_trace", [False, True])
@pytest.mark.parametrize(("module", "name"), [(span_scores, "put_early_scores"), (early_arrivals, "keep")])
def test_a_score_is_not_lost_whichever_of_it_and_its_span_has_looked_for_the_other_first(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, *, has_trace: bool
) -> None:
    span = make_span(CALL)
    if has_trace:
        export(ada, make_span({"gen_ai.operation.name": "execute_tool"}))
    key = {"name": "quality", "annotator": "judge", "identifier": "", "trace_id": span["trace_id"]}
    item = {**key, "span_id": span["span_id"], "value_kind": "number", "number": 5.0, "category": None}
    has_looked, other_is_done = Event(), Event()
    look = getattr(module, name)

    def look_and_pause(*args: Any) -> None:
        look(*args)
        has_looked.set()
        other_is_done.wait(1)  # in vain where the other waits for this transaction, as it should

    def export_span() -> None:
        answer = Caller(app.test_client(), ada.headers).open(
            "/v1/traces", method="POST", data=encode([span]), content_type=PROTOBUF
        )
        assert answer.status_code == 200

    def put_score() -> None:
        with app.app_context():
            principal = in_workspace(ada.id, personal_workspace_id(ada.id))
            with writing():
                put_scores_of_spans(principal, [item])

    monkeypatch.setattr(module, name, look_and_pause)
    first, second = (export_span, put_score) if name == "put_early_scores" else (put_score, export_span)

    def run_second() -> None:
        assert has_looked.wait(10)
        monkeypatch.setattr(module, name, look)
        second()
        other_is_done.set()

    run_at_once([first, run_second])
    (log,) = ada.get("/logs").json
    assert [score["logId"] for score in ada.get("/scores").json] == [log["_id"]]
