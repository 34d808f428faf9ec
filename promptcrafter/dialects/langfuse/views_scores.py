"""The routes by which Langfuse's clients give scores, as objects, as lists, and as events of a batch."""

from collections.abc import Sequence
from typing import Any

from blinker import Signal
from flask import Response, jsonify

from promptcrafter.database.transactions import writing
from promptcrafter.dialects.langfuse.schemas_scores import (
    SCORE_CREATE,
    IngestionIn,
    IngestionOut,
    LangfuseAcceptedOut,
    LangfuseScoreIn,
    LangfuseScoreOut,
    LangfuseScoresOut,
    scores_array,
)
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.schemas import load_body
from promptcrafter.logs.models import HUMAN
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid, Problem
from promptcrafter.traces.span_scores import put_scores_of_spans
from promptcrafter.workspaces.authentication import current_principal

blueprint = Blueprint("langfuse-scores", __name__, description="For Langfuse's clients: scores")
events_dropped = Signal("Sent after a batch with events that are no scores; `number` is how many.")
_ROOT = "/api/public"
_score_in = LangfuseScoreIn()


@blueprint.route(
    f"{_ROOT}/scores",
    methods=["POST"],
    permission=Permission.SCORE,
    refuses=(409,),
    array=scores_array(),
    takes_basic=True,
)
@blueprint.arguments(_score_in)
@blueprint.response(200, LangfuseScoreOut())
@blueprint.alt_response(202, schema=LangfuseAcceptedOut(), description="All scores of a list were stored", success=True)
@blueprint.alt_response(207, schema=LangfuseScoresOut(), description="Some scores of a list were not", success=True)
def create_langfuse_scores(body: dict[str, Any] | list[Any]) -> Response:
    """Store a score, or a list of up to 1,000 of them, of traces and observations that may still have to arrive."""
    if isinstance(body, dict):
        (fault,) = _store([body])
        if fault is not None:
            raise fault
        return jsonify(id=body["sent_id"])
    faults = _store(body)
    errors = [
        {"message": f"scores.{place}: {fault.message}"} for place, fault in enumerate(faults) if fault is not None
    ]
    if not errors:
        response = jsonify(message="Accepted")
        response.status_code = 202
        return response
    response = jsonify(accepted=len(faults) - len(errors), rejected=len(errors), errors=errors)
    response.status_code = 207
    return response


@blueprint.route(f"{_ROOT}/ingestion", methods=["POST"], permission=Permission.SCORE, takes_basic=True)
@blueprint.arguments(IngestionIn())
@blueprint.response(207, IngestionOut())
def ingest_langfuse_events(body: dict[str, Any]) -> dict[str, Any]:
    """Store the scores among the events of a batch. All other events are answered as stored, and dropped."""
    events: list[dict[str, Any] | Problem] = body["batch"]
    faults: list[Problem | None] = [event if isinstance(event, Problem) else None for event in events]
    places = [place for place, event in enumerate(events) if _is_score(event)]
    for place, fault in zip(places, _store([_load_score(events[place]) for place in places]), strict=True):
        faults[place] = fault
    events_dropped.send(number=sum(not isinstance(event, Problem) for event in events) - len(places))
    ids = ["" if isinstance(event, Problem) else event["id"] for event in events]
    return {
        "successes": [{"id": each, "status": 201} for each, fault in zip(ids, faults, strict=True) if fault is None],
        "errors": [
            {"id": each, "status": fault.status, "message": fault.message, "error": fault.message}
            for each, fault in zip(ids, faults, strict=True)
            if fault is not None
        ],
    }


def _is_score(event: dict[str, Any] | Problem) -> bool:
    return not isinstance(event, Problem) and event["type"] == SCORE_CREATE


def _load_score(event: Any) -> dict[str, Any] | Problem:
    if not isinstance(event["body"], dict):
        return Invalid({"body": ["must be an object"]})
    try:
        loaded: dict[str, Any] = load_body(_score_in, event["body"])
        return loaded
    except Problem as problem:
        return problem.without_trace()


def _store(scores: Sequence[dict[str, Any] | Problem]) -> list[Problem | None]:
    """Store loaded scores in one transaction; return for each why it is not stored, or None."""
    if not scores:
        return []
    principal = current_principal()
    annotator = "code" if principal.api_key_id else HUMAN
    items = [score if isinstance(score, Problem) else _to_columns(score, annotator) for score in scores]
    with writing():
        results = put_scores_of_spans(principal, items)
    return [result if isinstance(result, Problem) else None for result in results]


def _to_columns(score: dict[str, Any], annotator: str) -> dict[str, Any]:
    columns = {name: value for name, value in score.items() if name != "sent_id"}
    return {**columns, "annotator": annotator}
