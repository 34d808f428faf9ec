"""Scores of spans and traces from outside, which may arrive before what they are about."""

from collections.abc import Sequence
from typing import Any

from flask import Flask
from sqlalchemy import insert, select, update

from promptcrafter.database.session import session
from promptcrafter.database.transactions import writing
from promptcrafter.ids import new_id
from promptcrafter.logs.models import Score
from promptcrafter.problems import Problem
from promptcrafter.traces.span_scores import put_scores_of_spans
from promptcrafter.workspaces.principal import in_workspace, personal_workspace_id
from tests.support import transfer
from tests.support.otlp import START_NS, TRACE, export, make_span
from tests.support.people import Person

CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
TOOL = {"gen_ai.operation.name": "execute_tool"}


def put(app: Flask, person: Person, *items: dict[str, Any]) -> Sequence[Any]:
    """Put scores as a dialect does; return None for each that waits, else whether it is new."""
    value = {"value_kind": "number", "number": 5.0, "category": None, "comment": None}
    key = {"name": "quality", "annotator": "judge", "identifier": "", "trace_id": TRACE}
    with app.app_context():
        principal = in_workspace(person.id, personal_workspace_id(person.id))
        with writing():
            results = put_scores_of_spans(principal, [{**value, **key, **item} for item in items])
            return [None if result is None else not isinstance(result, Problem) and result[1] for result in results]


def scores_of_trace(person: Person) -> list[tuple[Any, ...]]:
    (trace,) = person.get("/traces").json
    found = person.get(f"/traces/{trace['_id']}/scores").json
    return [(score["name"], score["value"], score["logId"], score.get("spanId")) for score in found]


def logs_by_name(person: Person) -> dict[str, Any]:
    return {log["name"]: log for log in person.get("/logs").json}


def test_a_score_of_a_span_is_one_of_its_log_whichever_arrives_first(app: Flask, ada: Person) -> None:
    first, second = make_span(CALL, name="first"), make_span(CALL, name="second")
    assert put(app, ada, {"span_id": first["span_id"]}) == [None]
    assert put(app, ada, {"span_id": first["span_id"], "number": 7.0}) == [None]
    assert ada.get("/scores").json == []
    export(ada, first, second)
    assert put(app, ada, {"span_id": second["span_id"]}, {"span_id": first["span_id"], "number": 8.0}) == [True, False]
    logs = logs_by_name(ada)
    found = {score["logId"]: score["value"] for score in ada.get("/scores").json}
    assert found == {logs["first"]["_id"]: 8, logs["second"]["_id"]: 5}
    assert scores_of_trace(ada) == []


def test_a_score_of_a_trace_is_kept_at_the_output_that_ended_last(app: Flask, ada: Person) -> None:
    rating = {"name": "score", "annotator": "human", "number": 6.0}
    assert put(app, ada, rating) == [None]
    late = make_span(CALL, name="late", end_ns=START_NS + 9_000_000_000)
    export(ada, make_span(TOOL))
    assert scores_of_trace(ada) == []
    export(ada, make_span(CALL, name="early"))
    logs = logs_by_name(ada)
    assert scores_of_trace(ada) == [("score", 6, logs["early"]["_id"], None)]
    assert logs["early"]["score"] == 6
    assert ada.post(f"/logs/{logs['early']['_id']}/scores", json={"name": "score", "value": 2}).status_code == 201
    export(ada, late)
    export(ada, make_span(CALL, name="middle", end_ns=START_NS + 5_000_000_000))
    logs = logs_by_name(ada)
    assert scores_of_trace(ada) == [("score", 6, logs["late"]["_id"], None)]
    assert [logs[name]["score"] for name in ("early", "middle", "late")] == [2, None, 6]
    assert put(app, ada, {**rating, "number": 3.0}) == [False]
    assert scores_of_trace(ada) == [("score", 3, logs["late"]["_id"], None)]


def test_a_score_of_a_step_is_kept_at_the_last_output_with_the_id_of_the_step(app: Flask, ada: Person) -> None:
    tool = make_span(TOOL)
    assert put(app, ada, {"span_id": tool["span_id"]}) == [None]
    export(ada, tool)
    assert put(app, ada, {"span_id": tool["span_id"], "name": "speed"}) == [None]
    export(ada, make_span(CALL))
    assert put(app, ada, {"name": "speed"}) == [True]
    (log,) = ada.get("/logs").json
    assert sorted(scores_of_trace(ada), key=lambda score: (score[0], str(score[3]))) == [
        ("quality", 5, log["_id"], tool["span_id"]),
        ("speed", 5, log["_id"], tool["span_id"]),
        ("speed", 5, log["_id"], None),
    ]


def test_the_score_of_a_trace_moves_on_when_its_output_turns_out_to_contain_another_call(
    app: Flask, ada: Person
) -> None:
    outer = make_span(CALL, name="outer")
    export(ada, outer)
    assert put(app, ada, {"name": "whole"}) == [True]
    export(ada, make_span(CALL, name="inner", parent_id=outer["span_id"]))
    (log,) = ada.get("/logs").json
    assert log["name"] == "inner"
    assert scores_of_trace(ada) == [("whole", 5, log["_id"], None)]
    assert put(app, ada, {"span_id": outer["span_id"]}) == [True]
    assert ("quality", 5, log["_id"], outer["span_id"]) in scores_of_trace(ada)


def test_a_scored_call_stays_a_log_when_it_turns_out_to_contain_another(app: Flask, ada: Person) -> None:
    outer = make_span(CALL, name="outer")
    export(ada, outer)
    put(app, ada, {"span_id": outer["span_id"]})
    export(ada, make_span(CALL, name="inner", parent_id=outer["span_id"]))
    (log,) = ada.get("/logs").json
    assert log["name"] == "outer"
    assert [score["logId"] for score in ada.get("/scores").json] == [log["_id"]]


def test_a_score_is_found_by_the_id_of_the_response(app: Flask, ada: Person) -> None:
    assert put(app, ada, {"response_id": "resp-1"}) == [None]
    export(ada, make_span({**CALL, "gen_ai.response.id": "resp-1"}))
    (log,) = ada.get("/logs").json
    assert put(app, ada, {"response_id": "resp-1", "name": "speed"}) == [True]
    assert {score["logId"] for score in ada.get("/scores").json} == {log["_id"]}
    assert len(ada.get("/scores").json) == 2


def test_a_long_identifier_and_those_of_several_judges_are_scores_of_their_own(app: Flask, ada: Person) -> None:
    export(ada, make_span(CALL))
    identifiers = ["", "a", "x" * 64, "x" * 63]
    assert put(app, ada, *({"identifier": each} for each in identifiers)) == [True] * 4
    assert put(app, ada, {"identifier": "x" * 64}) == [False]
    (trace,) = ada.get("/traces").json
    found = ada.get(f"/traces/{trace['_id']}/scores?per_page=10").json
    assert [score["identifier"] for score in found][::-1][:2] == ["", "a"]
    assert {score["traceId"] for score in found} == {trace["_id"]}


def test_a_score_of_a_trace_survives_an_export_and_an_import(app: Flask, ada: Person) -> None:
    tool = make_span(TOOL)
    export(ada, make_span(CALL), tool)
    assert put(app, ada, {}, {"span_id": tool["span_id"]}) == [True, True]
    before, data = scores_of_trace(ada), transfer.export(ada)
    (trace,) = ada.get("/traces").json
    ada.delete(f"/traces/{trace['_id']}")
    assert ada.get("/scores").json == []
    answer = transfer.import_file(ada, data)
    assert answer.status_code == 200, answer.text
    assert scores_of_trace(ada) == before


def test_a_client_of_the_api_cannot_claim_the_identifier_of_a_score_of_a_trace(ada: Person) -> None:
    export(ada, make_span(CALL))
    (log,) = ada.get("/logs").json
    answer = ada.post(f"/logs/{log['_id']}/scores", json={"name": "a", "value": 1, "identifier": "trace::x"})
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_fields")
    assert "identifier must not have the form" in answer.json["message"]


def test_a_score_of_a_trace_is_changed_and_deleted_as_any_other(app: Flask, ada: Person) -> None:
    export(ada, make_span(CALL))
    assert put(app, ada, {"name": "score", "annotator": "human"}) == [True]
    (trace,) = ada.get("/traces").json
    (score,) = ada.get(f"/traces/{trace['_id']}/scores").json
    assert ada.patch(f"/scores/{score['_id']}", json={"value": 9}).json["value"] == 9
    assert ada.get("/logs").json[0]["score"] == 9
    assert ada.delete(f"/scores/{score['_id']}").status_code == 204
    assert ada.get("/logs").json[0]["score"] is None
    assert ada.get(f"/traces/{trace['_id']}/scores").json == []


def test_a_score_that_waited_is_dropped_if_a_config_forbids_it_by_then(app: Flask, ada: Person) -> None:
    span = make_span(CALL)
    assert put(app, ada, {"span_id": span["span_id"]}) == [None]
    ada.put("/score-configs/quality", json={"kind": "boolean"})
    assert export(ada, span).status_code == 200
    assert ada.get("/scores").json == []
    assert put(app, ada, {"span_id": span["span_id"], "value_kind": "boolean", "number": 1.0}) == [True]


def test_a_score_that_a_span_reports_is_there_once_however_often_it_is_sent(ada: Person) -> None:
    result = {"gen_ai.evaluation.name": "Relevance", "gen_ai.evaluation.score.value": 0.75}
    event = ("gen_ai.evaluation.result", result)
    plain, tool = make_span(CALL), make_span(TOOL, events=[event])
    scored = {**plain, "events": [event]}
    for spans in ([plain], [scored], [scored, tool], [tool], [plain]):
        assert export(ada, *spans).status_code == 200
    (log,) = ada.get("/logs").json
    found = [(score["logId"], score.get("spanId")) for score in ada.get("/scores").json]
    assert sorted(found, key=str) == sorted([(log["_id"], None), (log["_id"], tool["span_id"])], key=str)


def audited(person: Person, query: str = "") -> list[tuple[Any, Any]]:
    """Return what the audit trail has of changed scores, newest first: before and after."""
    workspace_id = personal_workspace_id(person.id)
    entries = person.get(f"/workspaces/{workspace_id}/audit?action=score.change{query}").json
    return [(entry["before"], entry["after"]) for entry in entries]


def give_to_another_rater(app: Flask) -> None:
    """Let all scores be those of a rater from elsewhere: the audit trail has what an owner changes of them."""
    with app.app_context(), writing():
        session.execute(update(Score).values(rater="imported:", imported_name="Eve"))


def test_the_trail_about_a_moved_score_goes_with_the_log_that_has_it_now(app: Flask, ada: Person) -> None:
    export(ada, make_span(CALL, name="early"))
    assert put(app, ada, {"name": "whole"}) == [True]
    give_to_another_rater(app)
    (score,) = ada.get("/scores").json
    assert ada.patch(f"/scores/{score['_id']}", {"comment": "private"}).status_code == 200
    export(ada, make_span(CALL, name="late", end_ns=START_NS + 9_000_000_000))
    logs = logs_by_name(ada)
    assert scores_of_trace(ada) == [("whole", 5, logs["late"]["_id"], None)]
    assert audited(ada, f"&object={logs['late']['_id']}") == [({"comment": None}, {"comment": "private"})]
    assert ada.delete(f"/logs/{logs['early']['_id']}").status_code == 204
    assert audited(ada) == [({"comment": None}, {"comment": "private"})]
    assert ada.delete(f"/logs/{logs['late']['_id']}").status_code == 204
    assert audited(ada) == [(None, None)]


def test_no_text_is_kept_about_a_score_that_is_there_already_where_it_moves(app: Flask, ada: Person) -> None:
    export(ada, make_span(CALL, name="early"))
    assert put(app, ada, {"name": "whole"}) == [True]
    give_to_another_rater(app)
    with app.app_context():
        early = session.execute(select(Score.__table__)).mappings().one()
    export(ada, make_span(CALL, name="late", end_ns=START_NS + 9_000_000_000))
    again = new_id("score")
    with app.app_context(), writing():
        own = {name: value for name, value in early.items() if name not in ("seq", "rater_id")}
        session.execute(insert(Score).values({**own, "id": again}))
    assert ada.patch(f"/scores/{again}", {"comment": "private"}).status_code == 200
    export(ada, make_span(CALL, name="last", end_ns=START_NS + 10_000_000_000))
    assert len(scores_of_trace(ada)) == 1
    assert audited(ada) == [(None, None)]
