"""The pages of runs: a list and a waterfall of the steps that an exporter has sent."""

import json

from flask import Flask

from tests.support.otlp import export, make_span
from tests.support.people import Person
from tests.support.visitors import Visitor, text_of

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Hi."}]}]),
}


def test_a_run_is_listed_and_shown_step_by_step_with_its_outputs(app: Flask, ada: Person) -> None:
    agent = make_span({"gen_ai.operation.name": "invoke_agent", "user.id": "u5"}, name="support agent")
    tool = {"gen_ai.operation.name": "execute_tool", "input.value": "A-12 <b>", "output.value": "in Leipzig"}
    failed = make_span(tool, name="find_parcel", parent_id=agent["span_id"], status=2, message="timed out")
    call = make_span(CALL, name="chat gpt-4o", parent_id=agent["span_id"])
    assert export(ada, agent, failed, call).status_code == 200
    (trace,) = ada.get("/traces").json
    visitor = Visitor(app, ada)
    assert "support agent" in text_of(visitor.get("/runs?name=&status=&userId=u5&sort=-duration"))
    assert "Nothing matches" in text_of(visitor.get("/runs?userId=nobody"))
    assert visitor.get("/runs?as=json").json == ada.get("/traces").json
    page = visitor.get(f"/runs/{trace['_id']}")
    shown = text_of(page)
    assert shown.index("support agent") < shown.index("find_parcel")
    assert "failed" in shown
    assert page.text.count('<svg class="waterfall"') == 3
    (log,) = ada.get("/logs").json
    assert f"/outputs/{log['_id']}" in page.text
    step = visitor.get(f"/runs/{trace['_id']}?step={failed['span_id']}")
    for text in ("timed out", "A-12 <b>", "in Leipzig"):
        assert text in text_of(step)
    assert visitor.submit(f"/runs/{trace['_id']}/delete", {}).status_code == 303
    assert ada.get("/traces").json == []


def test_a_run_without_times_and_an_unknown_one(app: Flask, ada: Person) -> None:
    export(ada, make_span(CALL, start_ns=0, end_ns=0))
    (trace,) = ada.get("/traces").json
    visitor = Visitor(app, ada)
    assert visitor.get(f"/runs/{trace['_id']}").status_code == 200
    assert visitor.get("/runs/trace_01jz8x4m5n6p7q8r9s0t1v2w3x").status_code == 404


def test_each_step_has_its_kind_time_and_cost_and_shows_its_texts_as_an_output_does(app: Flask, ada: Person) -> None:
    begin = 1_790_000_000_000_000_000
    agent = make_span({"gen_ai.operation.name": "invoke_agent"}, name="agent", start_ns=begin, end_ns=begin + 4 * 10**9)
    inside = {"parent_id": agent["span_id"], "start_ns": begin, "end_ns": begin + 10**9}
    messages = json.dumps([{"role": "user", "content": "Where is A-12?"}])
    kinds = {"openinference.span.kind": "RETRIEVER", "input.value": '{"query": ["a", 1]}', "output.value": messages}
    found = make_span(kinds, name="look up", **inside)
    cost = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 1000}
    call = make_span(CALL | cost, name="chat", **inside)
    assert export(ada, agent, found, call).status_code == 200
    (trace,) = ada.get("/traces").json
    visitor = Visitor(app, ada)
    one = f"/runs/{trace['_id']}"
    shown = text_of(visitor.get(one))
    for row in ("agent agent 4.00 s", "look up retriever 1.00 s", "chat gpt-4o output 1.00 s $0."):
        assert row in shown
    step = visitor.get(f"{one}?step={found['span_id']}")
    assert 'aria-current="true"' in step.text
    assert "Input { &#34;query&#34;: [ &#34;a&#34;, 1 ] }".replace("&#34;", '"') in text_of(step)
    assert '<ol class="messages">' in step.text
    of_call = visitor.get(f"{one}?step={call['span_id']}")
    (log,) = ada.get("/logs").json
    assert f'<a class="button" href="{visitor.home}/outputs/{log["_id"]}">Open the output</a>' in of_call.text
    assert "Hi." in text_of(of_call)


def test_filters_that_nothing_matches_lead_to_the_whole_list_and_not_to_the_first_steps(
    app: Flask, ada: Person
) -> None:
    visitor = Visitor(app, ada)
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" in visitor.get("/runs").text
    for path in ("/runs?name=none", "/statistics?model=none"):
        page = visitor.get(path)
        assert "Try fewer filters. Show all" in text_of(page)
        assert "OTEL_EXPORTER" not in page.text
    assert "Statistics appear with the first outputs" in text_of(visitor.get("/statistics?groupBy=model"))
