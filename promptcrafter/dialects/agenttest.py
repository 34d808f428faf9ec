"""The dialect of AgentTest's clients: they request a variant for a user and log its results."""

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from promptcrafter.database.transactions import writing
from promptcrafter.experiments import store as experiments
from promptcrafter.experiments.assign import assign
from promptcrafter.experiments.models import Experiment, Variant
from promptcrafter.experiments.schemas import SLUG_EXAMPLE
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.fields import Text
from promptcrafter.http.schemas import CreateSchema, JsonObject
from promptcrafter.idempotency.decorator import idempotent
from promptcrafter.ids import pattern
from promptcrafter.jsonio import dumps
from promptcrafter.logs import store as logs
from promptcrafter.logs.fields import read_model, refuse_large_output
from promptcrafter.logs.recording import retry_if_parent_deleted
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid, Problem
from promptcrafter.prompts import version_store
from promptcrafter.prompts.models import Version
from promptcrafter.scores import reported
from promptcrafter.text import shorten
from promptcrafter.workspaces.authentication import current_principal

blueprint = Blueprint(
    "agenttest",
    __name__,
    description="For AgentTest's clients: variants and their results",
    path_examples={"slug": SLUG_EXAMPLE},
)
_UNAUTHORIZED = "Unauthorized"  # the message that these clients expect in a 401
_ACTIVE = "ACTIVE"
_NAME_MAX = 64  # characters of a score's name
_KEYS_SHOWN, _KEY_SHOWN_MAX = 20, 40  # of an experiment's variants, in an error; characters of each
METRICS_MAX = 1000  # names
# The last words of the names of metrics that say what somebody thought of the output
_RATINGS = frozenset(("rating", "score", "feedback", "stars", "vote", "thumbs", "satisfaction", "csat", "nps"))
_THUMBS, _DIRECTIONS = frozenset(("thumb", "thumbs")), frozenset(("up", "down"))
_ANNOTATOR = "code"  # the program reports them: this service cannot know who gave them


class ResultIn(CreateSchema):
    """A result of a variant, which becomes a log."""

    variant_key = Text(data_key="variantKey", required=True, minimum=1, metadata={"example": "A"})
    input = JsonObject(metadata={"example": {"query": "What are the latest AI advancements?"}})
    output = JsonObject(
        validate=refuse_large_output, metadata={"example": {"response": "Recent AI advancements include …"}}
    )
    metrics = JsonObject(
        maximum=METRICS_MAX,
        metadata={
            "example": {"latency_ms": 123, "user_rating": 5},
            "description": "Values other than numbers are stored but not part of the statistics. Numbers and booleans "
            "that rate the output, such as `user_rating`, become scores by `code`, too",
        },
    )
    context = JsonObject(metadata={"example": {"environment": "production"}})


class ResultLogged(Schema):
    """The response to a result."""

    success = fields.Boolean(required=True)
    logId = fields.String(required=True, metadata={"pattern": pattern("log")})


class AssignIn(CreateSchema):
    """The user to assign a variant to."""

    user_id = Text(data_key="userId", required=True, minimum=1, metadata={"example": "user-42"})
    context = JsonObject()


class Assignment(Schema):
    """The variant that is assigned to a user."""

    variant = fields.String(required=True)
    payload = JsonObject(required=True)


@blueprint.route(
    "/experiment/<slug>/log",
    methods=["POST"],
    permission=Permission.INGEST,
    unauthorized_message=_UNAUTHORIZED,
    refuses=(404,),
)
@blueprint.arguments(ResultIn())
@idempotent
@blueprint.response(200, ResultLogged())
def log_result(body: dict[str, Any], slug: str) -> dict[str, Any]:
    """Log a result of an experiment's variant."""
    ratings = find_ratings(body.get("metrics", {}))
    (scores,) = reported.fit(current_principal().workspace_id, [ratings])

    def attempt() -> dict[str, Any]:
        experiment = experiments.get_experiment(current_principal(), slug)
        variant = _get_variant(experiment, body["variant_key"])
        version = (
            version_store.get_version_or_none(variant.prompt_id, variant.prompt_version) if variant.prompt_id else None
        )
        values = logs.prepare({**translate(body, experiment, variant, version), "scores": scores})
        with writing():
            return logs.record(current_principal(), values)

    return {"success": True, "logId": retry_if_parent_deleted(attempt, attempt)["id"]}


@blueprint.route(
    "/experiment/<slug>/assign",
    methods=["POST"],
    permission=Permission.INGEST,
    unauthorized_message=_UNAUTHORIZED,
    refuses=(404,),
)
@blueprint.arguments(AssignIn())
@blueprint.response(200, Assignment())
def assign_variant(body: dict[str, Any], slug: str) -> dict[str, Any]:
    """Return the variant of a user, always the same one until the traffic shares change."""
    experiment = experiments.get_experiment(current_principal(), slug)
    shares = [variant.traffic_percent for variant in experiment.variants]
    index = assign(slug, body["user_id"], shares) if experiment.status == _ACTIVE else None
    if index is None:
        raise Problem(404, "Experiment is not active", "experiment_not_active")
    variant = experiment.variants[index]
    return {"variant": variant.key, "payload": variant.payload}


def translate(
    body: dict[str, Any], experiment: Experiment, variant: Variant, version: Version | None
) -> dict[str, Any]:
    """Return the columns of the log of a result. `version` is that of the variant's prompt, if it has one."""
    model = version.model if version else read_model(variant.payload)
    return {
        "source": "agenttest",
        "experiment_id": experiment.id,
        "variant_key": variant.key,
        "prompt_id": version.prompt_id if version else None,
        "prompt_version": version.number if version else None,
        "model_used": model,
        **{name: dumps(body[name]) for name in ("input", "output") if name in body},
        **{f"{name}_format": "json" for name in ("input", "output") if name in body},
        "metrics": body.get("metrics"),
        "context": body.get("context"),
    }


def find_ratings(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the metrics that rate the output, as reported scores: numbers and booleans whose names say so."""
    return [
        {"name": name, "value": value, "annotator": _ANNOTATOR}
        for name, value in metrics.items()
        if isinstance(value, int | float) and len(name) <= _NAME_MAX and _is_rating(name)
    ]


def _is_rating(name: str) -> bool:
    words = re.findall("[a-z]+", re.sub("([a-z])([A-Z])", r"\1 \2", name).lower())
    is_thumb = len(words) > 1 and words[-2] in _THUMBS and words[-1] in _DIRECTIONS
    return is_thumb or (bool(words) and words[-1] in _RATINGS)


def _get_variant(experiment: Experiment, key: str) -> Variant:
    """Return the variant with this key. Raises 400 if the experiment has none."""
    for variant in experiment.variants:
        if variant.key == key:
            return variant
    keys = [shorten(variant.key, _KEY_SHOWN_MAX) for variant in experiment.variants]
    others = f" and {len(keys) - _KEYS_SHOWN} more" if len(keys) > _KEYS_SHOWN else ""
    shown = ", ".join(keys[:_KEYS_SHOWN]) or "none"
    raise Invalid({"variantKey": [f"must be a variant of the experiment, which has {shown}{others}"]})
