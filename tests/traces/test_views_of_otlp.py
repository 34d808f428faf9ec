"""What the routes under /traces answer about traces of OpenTelemetry: filters, orders, the tree, and costs."""

import json
from collections.abc import Iterator

import pytest
from flask import Flask

from promptcrafter.database.session import get_engine
from promptcrafter.traces import tree
from tests.support.databases import only_sqlite
from tests.support.otlp import START_NS, export, make_span
from tests.support.people import Person
from tests.support.statements import statements

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.output_tokens": 5,
}
TOOL = {"gen_ai.operation.name": "execute_tool"}
SECOND = 1_000_000_000


def ids() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"{number:032x}"


def listed(person: Person, query: str = "") -> list[str]:
    return [trace["name"] for trace in person.get(f"/traces{query}").json]


@pytest.fixture
def runs(ada: Person) -> list[str]:
    """The names of three runs: a cheap long one, a dear short one that failed, and one without a call."""
    trace_ids = ids()
    for name, attributes, seconds, status in (
        ("cheap", {**CHAT, "user.id": "u1", "session.id": "s1"}, 9, 0),
        ("dear", {**CHAT, "gen_ai.usage.cost": 3, "user.id": "u2"}, 1, 2),
        ("free", {**TOOL, "session.id": "s1"}, 5, 0),
    ):
        span = make_span(attributes, trace_id=next(trace_ids), name=name, status=status)
        assert export(ada, {**span, "end_ns": START_NS + seconds * SECOND}).status_code == 200
    ada.post("/basalt/monitor/trace", {"featureSlug": "f", "name": "basalt"})
    return ["cheap", "dear", "free", "basalt"]


def test_traces_are_filtered_by_what_their_spans_say(ada: Person, ben: Person, runs: list[str]) -> None:
    expected = {
        "": runs[::-1],
        "?name=dear": ["dear"],
        "?userId=u1": ["cheap"],
        "?sessionId=s1": ["free", "cheap"],
        "?status=error": ["dear"],
        "?status=ok&source=otlp": ["free", "cheap"],
        "?source=basalt": ["basalt"],
        "?since=1h&until=0m&sort=createdAt": runs,
        "?until=1h": [],
        "?userId=u": [],
    }
    assert {query: listed(ada, query) for query in expected} == expected
    assert listed(ben, "?source=otlp") == []
    assert ada.get("/traces?status=bad").json["details"] == {"status": ["must be one of ok, error"]}


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("-duration", ["cheap", "free", "dear", "basalt"]),
        ("-cost", ["dear", "cheap", "basalt", "free"]),
        ("createdAt", ["cheap", "dear", "free", "basalt"]),
    ],
)
def test_traces_are_sorted_both_ways_and_in_pages(ada: Person, runs: list[str], sort: str, names: list[str]) -> None:
    for order, expected in ((sort, names), (sort.removeprefix("-") if "-" in sort else f"-{sort}", names[::-1])):
        assert listed(ada, f"?sort={order}") == expected
        seen, path = [], f"/traces?sort={order}&per_page=1"
        while path:
            page = ada.get(path)
            seen += [trace["name"] for trace in page.json]
            path = page.headers.get("Link", "localhost>").split("localhost")[1].split(">")[0]
        assert seen == expected
    cursor = "1-2" if "createdAt" not in sort else "1-2-3"
    assert ada.get(f"/traces?sort={sort}&cursor={cursor}").json["details"] == {
        "cursor": ["is not one that this list gave"]
    }


@only_sqlite
@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("", "created_at"),
        ("name=n&", "name"),
        ("userId=u&", "user_id"),
        ("sessionId=s&", "session_id"),
        ("status=error&", "status"),
        ("source=otlp&", "source"),
        ("sort=-cost&", "cost_rank"),
        ("sort=duration&", "duration_rank"),
    ],
)
def test_a_page_is_a_range_of_an_index(app: Flask, ada: Person, query: str, index: str) -> None:
    rank = "5-" if "sort" in query else ""
    with statements(app) as seen:
        assert ada.get(f"/traces?{query}per_page=2&cursor={rank}99999999999999-9").status_code == 200
    (read,) = [pair for pair in seen if "FROM traces" in pair[0] and "ORDER BY" in pair[0]]
    with app.app_context(), get_engine().connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {read[0]}", read[1])]
    assert f"_workspace_id_{index}" in plan[0], plan
    assert "TEMP B-TREE" not in " ".join(plan), plan


def test_a_list_of_traces_also_leaves_as_csv(ada: Person, runs: list[str]) -> None:
    lines = ada.get("/traces?sort=-cost", headers={"Accept": "text/csv"}).text.splitlines()
    assert lines[0].endswith(",externalId,rootSpanId,status,userId,sessionId,durationMs,cost")
    assert lines[1].endswith(',"error","u2",,"1000","3"')


def test_the_tree_of_a_trace_has_steps_and_calls_with_times_errors_and_logs(ada: Person) -> None:
    agent = make_span({"gen_ai.operation.name": "invoke_agent"}, name="agent", end_ns=START_NS + 9 * SECOND)
    call = make_span(CHAT, parent_id=agent["span_id"], name="call", start_ns=START_NS + 2 * SECOND)
    tool = make_span(
        TOOL, parent_id=agent["span_id"], name="tool", status=2, message="broken", end_ns=START_NS + 1_234_567
    )
    orphan = make_span(TOOL, parent_id="00000000000000ff", name="orphan", start_ns=START_NS + 20 * SECOND)
    assert export(ada, orphan, {**call, "end_ns": START_NS + 3 * SECOND}, tool, agent).status_code == 200
    (trace,), (log,) = ada.get("/traces").json, ada.get("/logs").json
    answer = ada.get(f"/traces/{trace['_id']}/tree").json
    assert (answer["traceId"], answer["more"]) == (trace["_id"], 0)
    nodes = answer["nodes"]
    assert [(node["depth"], node["name"]) for node in nodes] == [(0, "agent"), (1, "tool"), (1, "call"), (0, "orphan")]
    assert (nodes[1]["durationMs"], nodes[1]["status"], nodes[1]["error"]) == (1.234567, "error", "broken")
    assert nodes[2] == {
        "depth": 1,
        "spanId": call["span_id"],
        "parentId": agent["span_id"],
        "logId": log["_id"],
        "type": "generation",
        "name": "call",
        "startTime": "2025-06-15T15:06:42.000Z",
        "durationMs": 1000,
        "modelUsed": "gpt-4o",
        "cost": log["cost"],
    }
    assert nodes[3]["parentId"] == "00000000000000ff"


def test_a_large_tree_says_how_much_is_left_out(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "SHOWN_MAX", 2)
    assert export(ada, *(make_span(TOOL) for _ in range(5))).status_code == 200
    (trace,) = ada.get("/traces").json
    answer = ada.get(f"/traces/{trace['_id']}/tree").json
    assert (len(answer["nodes"]), answer["more"]) == (2, 3)


def test_the_tree_of_basalts_trace_has_its_generations(ada: Person) -> None:
    steps = [{"id": "1", "type": "retrieval"}, {"id": "2", "type": "generation", "parentId": "1", "output": "x"}]
    sent = ada.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": steps}).json["trace"]["id"]
    nodes = ada.get(f"/traces/{sent}/tree").json["nodes"]
    assert [(node["depth"], node["type"], "logId" in node) for node in nodes] == [
        (0, "retrieval", False),
        (1, "generation", True),
    ]


def test_the_tree_of_another_workspaces_trace_is_not_shown(ada: Person, ben: Person) -> None:
    export(ada, make_span(TOOL))
    (trace,) = ada.get("/traces").json
    assert ben.get(f"/traces/{trace['_id']}/tree").status_code == 403


def test_the_cost_of_a_trace_follows_its_logs(ada: Person) -> None:
    def cost() -> float | None:
        (trace,) = ada.get("/traces").json
        found: float | None = trace.get("cost")
        return found

    prompt = ada.prompt(slug="greet")
    named = {"gen_ai.prompt.name": "greet", "gen_ai.prompt.version": "1"}
    costs = [{"gen_ai.usage.cost": number} for number in (0.25, 0.5, 2)]
    spans = [make_span({**CHAT, **more, **(named if more is costs[2] else {})}) for more in costs]
    assert export(ada, spans[0]).status_code == 200
    assert cost() == 0.25
    assert export(ada, *spans).status_code == 200
    assert cost() == 2.75
    (first,) = [log for log in ada.get("/logs").json if log["cost"] == 0.25]
    ada.patch(f"/logs/{first['_id']}", {"score": 5})
    assert cost() == 2.75
    assert ada.delete(f"/logs/{first['_id']}").status_code == 204
    assert cost() == 2.5
    assert ada.delete(f"/prompts/{prompt['_id']}").status_code == 204
    assert cost() == 0.5
    (last,) = ada.get("/logs").json
    ada.delete(f"/logs/{last['_id']}")
    assert cost() is None


def test_basalts_traces_have_duration_and_cost(ada: Person) -> None:
    step = {"id": "2", "type": "generation", "output": "x", "cost": 0.5}
    times = {"startTime": "2026-01-01T00:00:00.000Z", "endTime": "2026-01-01T00:00:01.500Z"}
    ada.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": [step, step], **times})
    (trace,) = ada.get("/traces").json
    assert (trace["durationMs"], trace["cost"]) == (1500, 1)


def test_costs_whose_sum_is_infinite_are_left_out_of_that_of_their_trace(ada: Person, ben: Person) -> None:
    costs = (1.7e308, 1.6e308, 0.5)
    spans = [{"id": str(cost), "type": "generation", "output": "x", "cost": cost} for cost in costs]
    answer = ada.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": spans})
    assert answer.status_code == 200, answer.text
    trace_id = answer.json["trace"]["id"]
    file = ada.get("/export").text
    assert ben.post("/import?ids=new", data=file, content_type="application/x-ndjson").status_code == 200
    for person in (ada, ben):
        (listed,) = person.get("/traces?sort=-cost").json
        assert listed["cost"] == 0.5
    logs = ada.get(f"/traces/{trace_id}").json["logs"]
    assert sorted(log["cost"] for log in logs) == sorted(costs)
    for log in logs:
        if log["cost"] == 0.5:
            assert ada.delete(f"/logs/{log['_id']}").status_code == 204
    assert "cost" not in ada.get(f"/traces/{trace_id}").json


def test_a_trace_with_many_steps_is_streamed(ada: Person) -> None:
    steps = [make_span({**TOOL, "input.value": json.dumps({"text": "x" * 20_000})}) for _ in range(100)]
    assert export(ada, *steps).status_code == 200
    (trace,) = ada.get("/traces").json
    answer = ada.get(f"/traces/{trace['_id']}")
    assert answer.headers.get("Content-Length") is None
    assert [step["id"] for step in answer.json["spans"]] == [step["span_id"] for step in steps]
    assert answer.json["logs"] == []


def test_a_trace_is_found_by_the_id_that_the_program_knows(app: Flask, ada: Person, ben: Person) -> None:
    sent = [f"{number:032x}" for number in range(1, 40)]
    for each in sent:
        export(ada, make_span(CHAT, trace_id=each))
    with statements(app) as seen:
        (found,) = ada.get(f"/traces?externalId={sent[7].upper()}&per_page=2").json
    assert found["externalId"] == sent[7]
    assert ben.get(f"/traces?externalId={sent[7]}").json == []
    assert ada.get("/traces?externalId=ff").json == []
    (read,) = [pair for pair in seen if "FROM traces" in pair[0] and "ORDER BY" in pair[0]]
    with app.app_context(), get_engine().connect() as connection:
        if connection.dialect.name == "sqlite":
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {read[0]}", read[1])]
            assert "ix_traces_external_id" in plan[0], plan
