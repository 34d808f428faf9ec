"""Storing spans: however often, in whatever order and in how many pieces they arrive, the result is the same."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import pytest
from blinker import Signal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from promptcrafter.database import deletions
from promptcrafter.database.session import session
from promptcrafter.database.transactions import before_commit, writing
from promptcrafter.dialects.otlp import ingest
from promptcrafter.dialects.prompt_references import resolve_all
from promptcrafter.prompts.models import Prompt
from promptcrafter.traces import store as traces
from promptcrafter.workspaces import quota
from tests.support.members import share
from tests.support.otlp import START_NS, assert_status, encode, export, make_span, to_json
from tests.support.people import Person

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.output_tokens": 5,
}
STEP = {"gen_ai.operation.name": "execute_tool"}
_traces = count(1)


def new_trace() -> str:
    return f"{next(_traces):032x}"


def text(role: str, content: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": content}]}])


def send(person: Person, spans: Sequence[Mapping[str, Any]], trace_id: str) -> None:
    answer = export(person, *({**span, "trace_id": trace_id} for span in spans))
    assert (answer.status_code, answer.data) == (200, b"")


def read(person: Person, trace_id: str) -> dict[str, Any]:
    """Return what is stored of a trace, without ids and times of our own, and independent of the order of rows."""
    (listed,) = [each for each in person.get("/traces").json if each["externalId"] == trace_id]
    trace = person.get(f"/traces/{listed['_id']}").json
    for log in trace["logs"]:
        for name in ("_id", "traceId", "createdAt", "updatedAt"):
            log.pop(name)
    trace["cost"] = round(trace.get("cost", 0), 9)
    own = {name: trace.pop(name) for name in ("spans", "logs")}
    for name in ("_id", "createdAt", "externalId"):
        trace.pop(name)
    by_id = {name: sorted(rows, key=lambda row: str(row.get("spanId", row.get("id")))) for name, rows in own.items()}
    return {"trace": trace, **by_id}


def orders(spans: Sequence[Any]) -> Iterator[list[list[Any]]]:
    """Yield ways to send spans: together, one by one, backwards, and all of it twice."""
    yield [list(spans)]
    yield [[span] for span in spans]
    yield [[span] for span in reversed(spans)]
    yield [list(reversed(spans)), list(spans)]


def test_a_call_inside_another_is_one_log_with_what_the_outer_one_knows(ada: Person) -> None:
    prompt = ada.prompt(slug="greet")
    outer = make_span(
        {
            **CHAT,
            "user.id": "u1",
            "session.id": "s1",
            "gen_ai.prompt.name": "greet",
            "gen_ai.prompt.version": "1",
            "metadata": json.dumps({"team": "blue", "tier": "a"}),
            "llm.prompt_template.variables": json.dumps({"name": "Ada"}),
        },
        name="outer",
    )
    inner = make_span(
        {**CHAT, "user.id": "u2", "metadata": json.dumps({"tier": "b"}), "gen_ai.output.messages": text("model", "x")},
        parent_id=outer["span_id"],
        name="inner",
    )
    for order in orders([outer, inner]):
        trace_id = new_trace()
        for spans in order:
            send(ada, spans, trace_id)
        found = read(ada, trace_id)
        (log,), (step,) = found["logs"], found["spans"]
        assert (log["name"], log["userId"], log["sessionId"]) == ("inner", "u2", "s1")
        assert (log["promptId"], log["promptVersion"]) == (prompt["_id"], 1)
        assert log["variables"] == {"name": "Ada"}
        assert {name: log["metadata"][name] for name in ("team", "tier")} == {"team": "blue", "tier": "b"}
        assert (step["name"], step["type"], step["id"]) == ("outer", "generation", outer["span_id"])
        assert found["trace"]["cost"] == pytest.approx(log["cost"])


def test_of_three_calls_inside_each_other_the_innermost_is_the_log(ada: Person) -> None:
    first = make_span({**CHAT, "user.id": "u1"}, name="a")
    second = make_span({**CHAT, "session.id": "s1"}, parent_id=first["span_id"], name="b")
    third = make_span({**CHAT}, parent_id=second["span_id"], name="c")
    results = []
    for number in range(6):
        trace_id, spans = new_trace(), [first, second, third]
        random.Random(number).shuffle(spans)
        for span in spans:
            send(ada, [span], trace_id)
        results.append(read(ada, trace_id))
        (log,) = results[-1]["logs"]
        assert (log["name"], log["userId"], log["sessionId"]) == ("c", "u1", "s1")
    assert all(result == results[0] for result in results)


def test_of_many_calls_inside_each_other_the_innermost_alone_is_the_log(ada: Person) -> None:
    ids = [f"{number:016x}" for number in range(1, 13)]
    spans = [
        make_span(CHAT, span_id=span_id, parent_id=parent, name=span_id)
        for parent, span_id in zip([None, *ids], ids, strict=False)
    ]
    for order in orders(spans):
        trace_id = new_trace()
        for sent in (*order, spans[:1]):
            send(ada, sent, trace_id)
        found = read(ada, trace_id)
        assert [log["name"] for log in found["logs"]] == [ids[-1]]
        assert len(found["spans"]) == len(ids) - 1


@pytest.mark.parametrize("review", [{"score": 7}, {"notes": "good"}])
def test_a_log_that_was_reviewed_is_never_replaced(ada: Person, review: dict[str, Any]) -> None:
    trace_id = new_trace()
    outer = make_span(CHAT, name="outer")
    inner = make_span(CHAT, parent_id=outer["span_id"], name="inner")
    send(ada, [outer], trace_id)
    (log,) = ada.get("/logs").json
    assert ada.patch(f"/logs/{log['_id']}", review).status_code == 200
    send(ada, [inner], trace_id)
    send(ada, [inner, outer], trace_id)
    found = read(ada, trace_id)
    assert [each["name"] for each in found["logs"]] == ["outer"]
    assert [each["name"] for each in found["spans"]] == ["inner"]
    assert ada.get("/logs").json[0]["_id"] == log["_id"]


def test_a_log_that_a_judge_has_scored_is_not_replaced(ada: Person) -> None:
    trace_id = new_trace()
    outer = make_span(CHAT, name="outer")
    send(ada, [outer], trace_id)
    (log,) = ada.get("/logs").json
    score = {"name": "fluency", "value": 0.5, "annotator": "judge"}
    assert ada.post(f"/logs/{log['_id']}/scores", score).status_code == 201
    send(ada, [make_span(CHAT, parent_id=outer["span_id"], name="inner")], trace_id)
    assert [each["name"] for each in read(ada, trace_id)["logs"]] == ["outer"]
    assert len(ada.get(f"/logs/{log['_id']}/scores").json) == 1


def test_a_step_that_turns_out_to_be_a_call_becomes_a_log_and_stays_one(ada: Person) -> None:
    trace_id = new_trace()
    span = make_span({"traceloop.span.kind": "task", "input.value": "Hello?"})
    send(ada, [span], trace_id)
    assert len(read(ada, trace_id)["spans"]) == 1
    send(ada, [{**span, "attributes": {**CHAT, "gen_ai.output.messages": text("assistant", "Hi.")}}], trace_id)
    for _ in range(2):
        found = read(ada, trace_id)
        (log,) = found["logs"]
        assert (log["input"], log["output"], found["spans"]) == ("Hello?", "Hi.", [])
        send(ada, [span], trace_id)


def test_what_a_later_part_says_wins_and_what_it_does_not_say_stays(ada: Person) -> None:
    trace_id = new_trace()
    span = make_span({**CHAT, "user.id": "u1", "gen_ai.output.messages": text("assistant", "wonderful")})
    send(ada, [span], trace_id)
    cost = read(ada, trace_id)["trace"]["cost"]
    later = {"gen_ai.operation.name": "chat", "gen_ai.usage.output_tokens": 50, "session.id": "s1"}
    more = {"gen_ai.output.messages": text("assistant", "marvellous")}
    send(ada, [{**span, "attributes": {**later, **more}, "end_ns": START_NS + 2_000_000_000}], trace_id)
    found = read(ada, trace_id)
    (log,) = found["logs"]
    assert (log["userId"], log["sessionId"], log["inputTokens"], log["outputTokens"]) == ("u1", "s1", 20, 50)
    assert (log["output"], log["latencyMs"], log["modelUsed"]) == ("marvellous", 2000, "gpt-4o")
    assert found["trace"]["cost"] == pytest.approx(log["cost"])
    assert log["cost"] > cost
    assert [len(ada.get(f"/logs?q={word}").json) for word in ("wonderful", "marvellous")] == [0, 1]


def test_a_span_that_is_sent_again_keeps_the_version_that_its_label_named(ada: Person) -> None:
    prompt = ada.prompt(slug="greet")
    span = make_span({**CHAT, "gen_ai.prompt.name": "greet", "gen_ai.prompt.version": "latest"})
    trace_id = new_trace()
    send(ada, [span], trace_id)
    before = read(ada, trace_id)["logs"]
    assert ada.patch(f"/prompts/{prompt['_id']}", {"content": "new"}).status_code == 200
    send(ada, [span], trace_id)
    assert read(ada, trace_id)["logs"] == before


def test_a_step_whose_prompt_was_deleted_becomes_a_log_without_it(ada: Person) -> None:
    prompt = ada.prompt(slug="greet")
    outer = make_span({**CHAT, "gen_ai.prompt.name": "greet", "gen_ai.prompt.version": "1"}, name="outer")
    inner = make_span({**CHAT, "gen_ai.prompt.name": "other"}, parent_id=outer["span_id"], name="inner")
    trace_id = new_trace()
    send(ada, [outer, inner], trace_id)
    assert ada.delete(f"/prompts/{prompt['_id']}").status_code == 204
    send(ada, [make_span(CHAT, parent_id=outer["span_id"], name="second")], trace_id)
    by_name = {log["name"]: log for log in read(ada, trace_id)["logs"]}
    assert set(by_name) == {"inner", "second"}
    assert by_name["second"]["promptVersion"] is None
    assert by_name["second"]["promptReference"] == {"slug": "greet", "version": "1"}


def test_calls_that_claim_to_be_inside_each_other_or_themselves_are_logs(ada: Person) -> None:
    first = make_span(CHAT, name="a", span_id="00000000000000a1", parent_id="00000000000000b2")
    second = make_span(CHAT, name="b", span_id="00000000000000b2", parent_id="00000000000000a1")
    own = make_span(CHAT, name="c", span_id="00000000000000c3", parent_id="00000000000000c3")
    for order in orders([first, second, own]):
        trace_id = new_trace()
        for spans in order:
            send(ada, spans, trace_id)
        assert len(read(ada, trace_id)["logs"]) == 3


def test_spans_of_a_deleted_trace_that_arrive_later_make_a_new_one(ada: Person) -> None:
    span, trace_id = make_span(CHAT), new_trace()
    send(ada, [span], trace_id)
    (trace,) = ada.get("/traces").json
    assert ada.delete(f"/traces/{trace['_id']}").status_code == 204
    send(ada, [span], trace_id)
    (again,) = ada.get("/traces").json
    assert again["_id"] != trace["_id"]
    assert len(ada.get("/logs").json) == 1


def test_the_same_trace_of_another_workspace_is_another_one(ada: Person, ben: Person) -> None:
    span, trace_id = make_span(CHAT), new_trace()
    send(ada, [span], trace_id)
    send(ben, [span], trace_id)
    assert ada.get("/traces").json[0]["_id"] != ben.get("/traces").json[0]["_id"]
    assert [len(person.get("/logs").json) for person in (ada, ben)] == [1, 1]


def test_a_trace_is_what_its_root_says_or_else_its_first_span(ada: Person) -> None:
    root = make_span({**STEP, "user.id": "root"}, name="run", end_ns=START_NS + 9_000_000_000)
    failed = make_span(STEP, parent_id=root["span_id"], status=2, message="broken", start_ns=START_NS + 1)
    first = make_span({**CHAT, "user.id": "u1", "session.id": "s1"}, parent_id=root["span_id"], start_ns=START_NS)
    last = make_span(
        {**CHAT, "user.id": "u2", "session.id": "s2"}, parent_id=root["span_id"], start_ns=START_NS + 10**9
    )
    for order in orders([failed, last, first]):
        trace_id = new_trace()
        for spans in order:
            send(ada, spans, trace_id)
        trace = read(ada, trace_id)["trace"]
        assert (trace["status"], trace["userId"], trace["sessionId"]) == ("error", "u1", "s1")
        assert ("name" in trace, "rootSpanId" in trace, trace["durationMs"]) == (False, False, 1500)
        send(ada, [root], trace_id)
        trace = read(ada, trace_id)["trace"]
        assert (trace["name"], trace["rootSpanId"], trace["durationMs"]) == ("run", root["span_id"], 9000)
        assert (trace.get("status"), trace["userId"], trace["sessionId"]) == (None, "root", "s1")


def test_spans_of_a_trace_that_awaits_its_deletion_make_a_new_one(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    span, trace_id = make_span(CHAT), new_trace()
    send(ada, [span, make_span(STEP)], trace_id)
    (trace,) = ada.get("/traces").json
    monkeypatch.setattr(traces, "delete_or_defer", deletions.defer)
    monkeypatch.setattr(deletions, "deferred", Signal())  # nothing is purged meanwhile
    assert ada.delete(f"/traces/{trace['_id']}").status_code == 204
    assert ada.get("/traces").json == []
    send(ada, [span], trace_id)
    (again,) = ada.get("/traces").json
    assert again["_id"] != trace["_id"]
    assert [log["traceId"] for log in ada.get("/logs").json] == [again["_id"]]


def test_a_prompt_that_is_deleted_before_the_write_is_kept_as_a_reference(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = ada.prompt(slug="greet")
    attempts = count(1)

    def delete_after_look_up(*arguments: Any) -> Any:
        resolved = resolve_all(*arguments)
        if next(attempts) == 1:
            with writing():
                session.execute(delete(Prompt).where(Prompt.id == prompt["_id"]))
        return resolved

    monkeypatch.setattr(ingest, "resolve_all", delete_after_look_up)
    trace_id = new_trace()
    send(ada, [make_span({**CHAT, "gen_ai.prompt.name": "greet"})], trace_id)
    (log,) = read(ada, trace_id)["logs"]
    assert (log["promptId"], log["promptReference"]) == (None, {"slug": "greet"})
    assert next(attempts) == 3


def test_who_may_only_read_sends_no_spans(ada: Person, ben: Person) -> None:
    headers = {**share(ada, ben, "viewer"), "Content-Type": "application/x-protobuf"}
    answer = ben.open("/v1/traces", method="POST", data=encode([make_span(CHAT)]), headers=headers)
    assert answer.status_code == 403
    assert ada.get("/traces").json == []


def test_a_full_workspace_takes_no_more_spans(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(workspace_id: str) -> None:
        raise quota.WorkspaceFull(2, 1)

    monkeypatch.setattr(quota, "check_growth", lambda workspace_id: before_commit("full", lambda: refuse(workspace_id)))
    assert export(ada, make_span(CHAT)).status_code == 507
    monkeypatch.undo()
    assert (ada.get("/traces").json, ada.get("/logs").json) == ([], [])


def test_the_error_of_a_workspace_that_is_full_says_what_was_stored_before(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = count(1)

    def refuse_third() -> None:
        if next(commits) == 3:
            raise quota.WorkspaceFull(2, 1)

    for name in ("BATCH_SPANS", "BATCH_SPANS_ON_SQLITE"):
        monkeypatch.setattr(ingest, name, 2)
    monkeypatch.setattr(quota, "check_growth", lambda workspace_id: before_commit("full", refuse_third))
    spans = [make_span(CHAT, trace_id=new_trace()) for _ in range(5)]
    answer = ada.open("/v1/traces", method="POST", json=to_json(spans))
    assert_status(answer, 507)
    assert "may store 1. 4 of 5 spans were stored. Delete what" in answer.json["message"]
    monkeypatch.undo()
    assert len(ada.get("/logs").json) == 4
    assert export(ada, *spans).status_code == 200
    assert len(ada.get("/logs").json) == 5


@pytest.mark.parametrize(("number", "logs"), [(2, 2), (3, 3), (5, 5), (6, 0), (8, 0)])
def test_of_calls_inside_each_other_all_are_logs_or_in_a_long_circle_none_in_any_order(
    ada: Person, number: int, logs: int
) -> None:
    spans = [
        make_span(CHAT, span_id=f"{place + 1:016x}", parent_id=f"{(place + 1) % number + 1:016x}")
        for place in range(number)
    ]
    for order in (*orders(spans), *([[span] for span in random.Random(seed).sample(spans, number)] for seed in (1, 2))):
        trace_id = new_trace()
        for together in order:
            send(ada, together, trace_id)
        found = read(ada, trace_id)
        assert (len(found["logs"]), len(found["spans"])) == (logs, number - logs)


_ids = st.integers(1, 6).map(lambda number: f"{number:016x}")
_users = st.sampled_from([None, "u1", "u2"])


@st.composite
def span_sets(draw: st.DrawFn, *, agreeing: bool) -> list[dict[str, Any]]:
    """Draw the spans of a run with distinct ids; if `agreeing`, no two of them contradict each other."""
    spans = []
    for number in range(draw(st.integers(1, 6))):
        attributes = dict(draw(st.sampled_from([CHAT, CHAT, STEP])))
        user = draw(st.sampled_from([None, "u1"]) if agreeing else _users)
        optional: dict[str, Any] = {
            "user.id": user,
            "session.id": draw(st.sampled_from([None, "s1"])),
            "metadata": draw(st.sampled_from([None, json.dumps({"team": "blue"})])),
            "gen_ai.prompt.name": draw(st.sampled_from([None, "greet"])),
            "gen_ai.output.messages": draw(st.sampled_from([None, text("assistant", "Hi.")])),
            "custom": draw(st.sampled_from([None, 5])),
        }
        attributes |= {name: value for name, value in optional.items() if value is not None}
        start = START_NS + draw(st.integers(0, 3)) * 1_000_500_000
        spans.append(
            make_span(
                attributes,
                span_id=f"{number + 1:016x}",
                parent_id=draw(st.none() | _ids),
                name=f"span {number}",
                start_ns=start,
                end_ns=start + draw(st.integers(1, 3)) * 700_300_000,
                status=draw(st.sampled_from([0, 0, 2])),
            )
        )
    return spans


def cut(random_: random.Random, span: dict[str, Any]) -> list[dict[str, Any]]:
    """Return two parts of a span, which have each attribute together; its kind is in both."""
    names = [name for name in span["attributes"] if name != "gen_ai.operation.name"]
    chosen = set(random_.sample(names, len(names) // 2))
    halves = [chosen, set(names) - chosen]
    return [
        {**span, "attributes": {k: v for k, v in span["attributes"].items() if k in half or k not in names}}
        for half in halves
    ]


def check_any_arrival(person: Person, spans: list[dict[str, Any]], seed: int, parts: list[dict[str, Any]]) -> None:
    together, apart = new_trace(), new_trace()
    send(person, spans, together)
    shuffle = random.Random(seed)
    pending = [*parts, *shuffle.sample(parts, len(parts) // 2)]
    shuffle.shuffle(pending)
    while pending:
        size = shuffle.randint(1, len(pending))
        send(person, pending[:size], apart)
        pending = pending[size:]
    assert read(person, apart) == read(person, together)


_PROPERTY = settings(
    max_examples=15,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_PROPERTY
@given(spans=span_sets(agreeing=False), seed=st.integers(0, 2**32))
def test_any_partition_order_and_repetition_gives_the_same(ada: Person, spans: list[dict[str, Any]], seed: int) -> None:
    check_any_arrival(ada, spans, seed, spans)


@_PROPERTY
@given(spans=span_sets(agreeing=True), seed=st.integers(0, 2**32))
def test_any_order_of_parts_of_spans_gives_the_same(ada: Person, spans: list[dict[str, Any]], seed: int) -> None:
    shuffle = random.Random(seed)
    check_any_arrival(ada, spans, seed, [part for span in spans for part in cut(shuffle, span)])
