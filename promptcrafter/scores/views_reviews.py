"""The routes of reviews by several people, and of their agreement."""

from typing import Any

from flask import Response, jsonify

from promptcrafter.http.blueprint import Blueprint
from promptcrafter.logs.schemas import LogOut
from promptcrafter.permissions import Permission
from promptcrafter.scores import reviews
from promptcrafter.scores.schemas_reviews import (
    BLIND,
    AgreementOut,
    AgreementQuery,
    NextReviewQuery,
    ReviewOut,
    ReviewProgressOut,
    ReviewQuery,
)
from promptcrafter.workspaces.authentication import current_principal

blueprint = Blueprint("reviews", __name__, description="Reviews of outputs by several people, and their agreement")
_log_out = LogOut()
_blind_out = LogOut(only=BLIND)


@blueprint.route("/reviews/next", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(NextReviewQuery(), location="query")
@blueprint.response(200, ReviewOut())
@blueprint.alt_response(204, description="There is none")
def get_next_review(query: dict[str, Any]) -> Response:
    """Return a log that the caller has not scored, and that fewer people than asked for have."""
    log = reviews.get_next(current_principal(), reviews.resolve(current_principal(), query))
    if log is None:
        return Response(status=204)
    return jsonify((_blind_out if query["blind"] == "true" else _log_out).dump(log))


@blueprint.route("/reviews/progress", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(ReviewQuery(), location="query")
@blueprint.response(200, ReviewProgressOut())
def get_review_progress(query: dict[str, Any]) -> dict[str, Any]:
    """Return how many logs have been scored by as many people as asked for, and what each of them has done."""
    return reviews.get_progress(current_principal(), reviews.resolve(current_principal(), query))


@blueprint.route("/agreement", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(AgreementQuery(), location="query")
@blueprint.response(200, AgreementOut())
def get_agreement(query: dict[str, Any]) -> dict[str, Any]:
    """Return how far the raters of the same logs agree."""
    return reviews.get_agreement(current_principal(), reviews.resolve(current_principal(), query))
