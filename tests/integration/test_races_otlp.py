"""Spans that several exporters send at once to Gunicorn's workers, on both databases: nothing doubles or is lost."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.connection import Connection, sign_up
from tests.support.otlp import encode, make_span
from tests.support.servers import LiveServer

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.cost": 0.5}
_TRACES, _SENDERS = 6, 8


def make_run(trace_id: str, first: int) -> list[dict[str, Any]]:
    """Return an agent's run of 12 spans: 3 tools and 4 calls, of which each is observed twice."""
    root = make_span({"gen_ai.operation.name": "invoke_agent"}, trace_id=trace_id, span_id=f"{first:016x}", name="run")
    spans = [root]
    for number in range(1, 5):
        outer = make_span(
            {**CHAT, "user.id": "u1"}, trace_id=trace_id, parent_id=root["span_id"], span_id=f"{first + number:016x}"
        )
        inner = make_span(CHAT, trace_id=trace_id, parent_id=outer["span_id"], span_id=f"{first + 10 + number:016x}")
        spans += [outer, inner]
    tool = {"gen_ai.operation.name": "execute_tool"}
    return spans + [
        make_span(tool, trace_id=trace_id, parent_id=root["span_id"], span_id=f"{first + 20 + number:016x}")
        for number in range(3)
    ]


def test_spans_that_are_sent_at_once_and_again_are_stored_once(any_live_server: LiveServer) -> None:
    assert len(any_live_server.workers()) > 1
    token = sign_up(any_live_server)
    runs = [make_run(f"{number + 1:032x}", 100 * (number + 1)) for number in range(_TRACES)]
    spans = [span for run in runs for span in run]

    def send(seed: int) -> list[int]:
        own = random.Random(seed)
        order = own.sample(spans, len(spans))
        connection = Connection(any_live_server, token)
        statuses, start = [], 0
        while start < len(order):
            size = own.randint(1, 12)
            statuses.append(post(connection, order[start : start + size]))
            start += size
        return statuses

    def post(connection: Connection, some: Sequence[dict[str, Any]]) -> int:
        answer = connection.call("POST", "/v1/traces", encode(some), Content_Type="application/x-protobuf")
        assert answer.body == b"", answer.body
        return answer.status

    with ThreadPoolExecutor(_SENDERS) as pool:
        statuses = [status for each in pool.map(send, range(_SENDERS)) for status in each]
    assert set(statuses) == {200}
    reader = Connection(any_live_server, token)
    traces = reader.call("GET", "/traces").json
    assert len(traces) == _TRACES
    for trace in traces:
        whole = reader.call("GET", f"/traces/{trace['_id']}").json
        assert (whole["name"], whole["cost"]) == ("run", 2)
        assert (len(whole["logs"]), len(whole["spans"])) == (4, 8)
        assert {log["userId"] for log in whole["logs"]} == {"u1"}
        assert len({row["id"] for row in whole["spans"]} | {row["spanId"] for row in whole["logs"]}) == 12
    assert "deadlock" not in any_live_server.log
