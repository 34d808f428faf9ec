"""The routes by which Langfuse's clients give scores, with bodies that the SDKs send."""

import json
from typing import Any

import pytest

from promptcrafter.logs import scores
from tests.support.otlp import export, make_span
from tests.support.people import Answer, Person

SCORES, INGESTION = "/api/public/scores", "/api/public/ingestion"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
# As version 5 of the SDK for Python sends it
SCORE = {
    "id": "6d1b6f0e8a5d4c0b",
    "traceId": TRACE,
    "observationId": SPAN,
    "name": "relevance",
    "value": 0.5,
    "comment": "Rather short",
    "environment": "default",
    "dataType": "NUMERIC",
    "timestamp": "2026-11-20T10:00:00.000000Z",
    "metadata": {"judge": 1},
}


def send_generation(person: Person) -> None:
    attributes = {"langfuse.observation.type": "generation", "langfuse.observation.output": json.dumps("Hi.")}
    assert export(person, make_span(attributes, trace_id=TRACE, span_id=SPAN)).status_code == 200


def event(body: Any, type: str = "score-create", id: str = "e1") -> dict[str, Any]:
    return {"id": id, "type": type, "timestamp": "2026-11-20T10:00:00Z", "body": body}


def ingest(person: Person, *events: Any) -> Answer:
    return person.post(INGESTION, {"batch": events, "metadata": {"sdk_name": "python", "batch_size": len(events)}})


def scores_of(person: Person) -> list[tuple[Any, ...]]:
    return sorted(
        (each["name"], each["value"], each["comment"], each["identifier"]) for each in person.get("/scores").json
    )


@pytest.mark.parametrize("is_early", [True, False])
def test_a_list_of_scores_is_stored_whenever_the_generation_arrives(ada: Person, is_early: bool) -> None:
    if not is_early:
        send_generation(ada)
    for _ in range(2):  # sent again, as after a lost response
        answer = ada.post(SCORES, [SCORE, {**SCORE, "id": "2", "value": 1}])
        assert (answer.status_code, answer.json) == (202, {"message": "Accepted"})
    if is_early:
        assert scores_of(ada) == []
        send_generation(ada)
    assert scores_of(ada) == [
        ("relevance", 0.5, "Rather short", "6d1b6f0e8a5d4c0b"),
        ("relevance", 1, "Rather short", "2"),
    ]
    ((log,), scores) = ada.get("/logs").json, ada.get("/scores").json
    assert {each["logId"] for each in scores} == {log["_id"]}


def test_a_single_score_is_an_object(ada: Person) -> None:
    send_generation(ada)
    answer = ada.post(SCORES, SCORE)
    assert (answer.status_code, answer.json) == (200, {"id": SCORE["id"]})
    for id in ("x" * 65, f"trace:{SPAN}:1", ""):
        assert ada.post(SCORES, {**SCORE, "id": id}).json == {"id": id}, "the id that was sent"
    bad = ada.post(SCORES, {**SCORE, "name": "1st"})
    assert bad.status_code == 400
    assert bad.json["error"].startswith("name must be a letter and up to 63 letters")


def test_a_score_of_a_trace_is_one_of_its_last_output(ada: Person) -> None:
    send_generation(ada)
    of_trace = {name: value for name, value in SCORE.items() if name != "observationId"}
    assert ada.post(SCORES, [of_trace]).status_code == 202
    (log,) = ada.get("/logs").json
    (score,) = ada.get(f"/traces/{log['traceId']}/scores").json
    assert (score["name"], score["logId"], score["identifier"]) == ("relevance", log["_id"], SCORE["id"])


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({"value": 1, "dataType": "BOOLEAN"}, ("boolean", True)),
        ({"value": 0.0, "dataType": "BOOLEAN"}, ("boolean", False)),
        ({"value": "dry", "dataType": "CATEGORICAL"}, ("category", "dry")),
        ({"value": "dry", "dataType": None}, ("category", "dry")),
        ({"value": "A word or two", "dataType": "TEXT"}, ("category", "A word or two")),
        ({"value": 3, "dataType": None}, ("number", 3)),
    ],
)
def test_types_become_kinds(ada: Person, values: dict[str, Any], kept: tuple[str, Any]) -> None:
    send_generation(ada)
    assert ada.post(SCORES, [{**SCORE, **values}]).status_code == 202
    (score,) = ada.get("/scores").json
    assert (score["kind"], score["value"]) == kept


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "käse"}, "name must be a letter and up to 63 letters, digits, blanks, `_`, `.` or `-`."),
        ({"value": "x" * 65}, "value must have 1 to 64 characters."),
        ({"value": "x", "dataType": "NUMERIC"}, "value must be a number for the type NUMERIC."),
        ({"value": 2, "dataType": "BOOLEAN"}, "value must be 1, 0, true or false for the type BOOLEAN."),
        ({"value": "x", "dataType": "CORRECTION"}, "dataType must not be CORRECTION: a corrected output is no score."),
        (
            {"traceId": None, "observationId": None, "sessionId": "s1"},
            "traceId is required: scores of sessions and of dataset runs are not kept",
        ),
        (
            {"traceId": "my-trace"},
            "traceId must be the id of a trace of OpenTelemetry: 32 hexadecimal digits in lower case, not all 0.",
        ),
        (
            {"traceId": "0" * 32},
            "traceId must be the id of a trace of OpenTelemetry: 32 hexadecimal digits in lower case, not all 0.",
        ),
        (
            {"observationId": "0" * 16},
            "observationId must be the id of a span of OpenTelemetry: 16 hexadecimal digits in lower case, not all 0.",
        ),
        ({"name": "score", "value": 11}, "value must be a number from 0 to 10 for the name score."),
    ],
)
def test_what_cannot_be_kept_is_rejected_alone(ada: Person, values: dict[str, Any], message: str) -> None:
    send_generation(ada)
    answer = ada.post(SCORES, [{**SCORE, **values}, SCORE])
    expected = {"accepted": 1, "rejected": 1, "errors": [{"message": f"scores.0: {message}"}]}
    assert (answer.status_code, answer.json) == (207, expected)
    answer = ingest(ada, event({**SCORE, **values}), event(SCORE, id="e2"))
    assert answer.status_code == 207
    assert answer.json == {
        "successes": [{"id": "e2", "status": 201}],
        "errors": [{"id": "e1", "status": 400, "message": message, "error": message}],
    }
    assert scores_of(ada) == [("relevance", 0.5, "Rather short", SCORE["id"])]


def test_a_config_is_checked(ada: Person) -> None:
    send_generation(ada)
    assert ada.put("/score-configs/relevance", {"kind": "number", "max": 0.4}).status_code == 200
    answer = ada.post(SCORES, [SCORE])
    assert (answer.status_code, answer.json["rejected"]) == (207, 1)
    assert "must be at most 0.4" in answer.json["errors"][0]["message"]


def test_events_that_are_no_scores_are_answered_as_stored(ada: Person) -> None:
    send_generation(ada)
    others = [event({"name": "x"}, type, id=type) for type in ("trace-create", "span-create", "sdk-log")]
    answer = ingest(ada, *others, event(SCORE), "nonsense", event("nonsense", id="e3"))
    assert answer.status_code == 207
    assert [each["id"] for each in answer.json["successes"]] == ["trace-create", "span-create", "sdk-log", "e1"]
    assert [(each["id"], each["message"]) for each in answer.json["errors"]] == [
        ("", "event must be an object."),
        ("e3", "body must be an object."),
    ]
    assert (len(ada.get("/traces").json), len(ada.get("/scores").json)) == (1, 1)
    assert ingest(ada).json == {"successes": [], "errors": []}


def test_ids_that_are_long_or_look_like_ours_stay_apart(ada: Person) -> None:
    send_generation(ada)
    ids = ["x" * 100, "x" * 101, f"trace:{SPAN}:1", "trace::"]
    assert ada.post(SCORES, [{**SCORE, "id": id} for id in ids]).status_code == 202
    assert len({each["identifier"] for each in ada.get("/scores").json}) == 4
    assert ada.get("/traces").json[0]["_id"]
    assert all("traceId" not in each for each in ada.get("/scores").json)


@pytest.mark.parametrize("body", ["text", 7, None, [1, 2]])
def test_a_body_that_holds_no_scores_is_refused(ada: Person, body: Any) -> None:
    answer = ada.open(SCORES, method="POST", data=json.dumps(body), content_type="application/json")
    if isinstance(body, list):
        assert (answer.status_code, answer.json["rejected"]) == (207, 2)
    else:
        assert (answer.status_code, answer.json["code"]) == (400, "not_an_object")


def test_more_than_1000_scores_are_refused(ada: Person) -> None:
    answer = ada.post(SCORES, [{}] * 1001)
    assert (answer.status_code, answer.json["error"]) == (400, "body must have 0 to 1000 entries.")


def test_a_single_score_of_no_trace_or_span_is_400(ada: Person) -> None:
    for field, digits in (("traceId", 32), ("observationId", 16)):
        answer = ada.post(SCORES, {**SCORE, field: "0" * digits})
        assert (answer.status_code, list(answer.json["details"])) == (400, [field])


def test_a_trace_takes_at_most_a_thousand_scores_with_those_of_its_last_output(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "SCORES_MAX", 2)
    send_generation(ada)
    of_trace = {name: value for name, value in SCORE.items() if name != "observationId"}
    for name, target in (("a", SCORE), ("b", of_trace)):
        assert ada.post(SCORES, {**target, "name": name}).status_code == 200
    for target, what in ((SCORE, "A log may have at most 2 scores."), (of_trace, "A trace may have at most 2 scores,")):
        answer = ada.post(SCORES, {**target, "name": "c"})
        assert (answer.status_code, answer.json["code"]) == (409, "too_many_scores")
        assert answer.json["message"].startswith(what)


def test_a_viewer_may_score(ada: Person, ben: Person) -> None:
    workspace = ada.post("/workspaces", {"name": "Team"}).json
    invitation = ada.post(f"/workspaces/{workspace['_id']}/invitations", {"role": "viewer"}).json
    assert ben.post("/invitations/accept", {"token": invitation["token"]}).status_code == 200
    for person in (ada, ben):
        person.headers["X-Workspace"] = workspace["_id"]
    send_generation(ada)
    assert ben.post(SCORES, [SCORE]).status_code == 202
    (score,) = ada.get("/scores").json
    assert (score["annotator"], score["author"]["userId"]) == ("human", ben.id)
