"""Settings: what the scores of each name must be in the workspace."""

from typing import Any

from flask import url_for
from marshmallow import Schema
from werkzeug.wrappers import Response

from promptcrafter.database.transactions import writing
from promptcrafter.http.fields import Text
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import Form, join_errors, read_fields, read_form, read_lines, read_number
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.pages.scales import write_value
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid
from promptcrafter.scores import configs
from promptcrafter.scores.models import ScoreConfig
from promptcrafter.scores.schemas import DIRECTIONS, ScoreConfigIn, refuse_malformed_name
from promptcrafter.workspaces.authentication import current_principal

blueprint = PageBlueprint("settings_scores", __name__)


class _ScoresQuery(Schema):
    """Which configuration the form shows."""

    edit = Text(maximum=200)


@blueprint.page("/settings/scores")
@blueprint.arguments(_ScoresQuery(), location="query")
def list_scores(query: dict[str, str]) -> Response:
    """List the configurations of scores, and show one of them in the form."""
    found = configs.list_configs(current_principal())
    edited = next((config for config in found if config.name == query.get("edit")), None)
    return _show_scores(Form({} if edited is None else _to_fields(edited)), found)


@blueprint.page("/settings/scores", methods=["POST"], permission=Permission.WRITE)
def save_score() -> Response:
    """Set what the scores of a name must be."""
    principal, name = current_principal(), read_fields().get("name", "").strip()
    numbers = {key: value for key in ("min", "max") if (value := read_number(key)) is not None}
    lines = read_lines("categories")
    form = read_form(ScoreConfigIn(), **numbers, **({"categories": lines} if lines else {}))
    errors = dict(form.errors)
    try:
        refuse_malformed_name(name)
    except Invalid as problem:
        errors |= problem.details or {}
    if not errors:
        try:
            with writing():
                configs.put_config(principal, name, form.values)
        except Invalid as problem:
            errors = problem.details or {}
    if errors:
        return _show_scores(Form(form.sent, errors=errors), configs.list_configs(principal))
    return redirect_with(url_for("settings_scores.list_scores"), "score_saved")


@blueprint.page("/settings/scores/archive", methods=["POST"], permission=Permission.WRITE)
def archive_score() -> Response:
    """Archive a configuration: it applies no more, and the scores stay."""
    with writing():
        configs.archive_config(current_principal(), read_fields().get("name", ""))
    return redirect_with(url_for("settings_scores.list_scores"), "score_archived")


def _to_fields(config: ScoreConfig) -> dict[str, str]:
    """Return a configuration as the fields of the form."""
    values: dict[str, Any] = {"min": config.minimum, "max": config.maximum}
    return {
        **{name: "" if value is None else write_value(value) for name, value in values.items()},
        **{name: getattr(config, name) for name in ("name", "kind", "direction", "description")},
        "categories": "\n".join(config.categories or ()),
    }


def _show_scores(form: Form, found: list[ScoreConfig]) -> Response:
    page = render(
        "settings_scores.html",
        tab="scores",
        sent=form.sent,
        errors=join_errors(form.errors, "categories"),
        configs=found,
        directions=DIRECTIONS,
    )
    page.status_code = 400 if form.errors else 200
    return page
