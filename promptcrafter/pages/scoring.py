"""Scoring on pages: a person's score of an output, as `POST /logs/:id/scores` takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from promptcrafter.database.transactions import writing
from promptcrafter.http.schemas import load
from promptcrafter.logs import scores, store
from promptcrafter.logs.fields import SCORE_MAX
from promptcrafter.logs.models import DEFAULT_NAME, HUMAN
from promptcrafter.pages.forms import to_number
from promptcrafter.pages.scales import Scale, make_scale
from promptcrafter.scores.configs import get_config, list_configs, make_check
from promptcrafter.scores.models import ScoreConfig
from promptcrafter.scores.schemas import ScoreIn
from promptcrafter.workspaces.principal import Principal

_score_in = ScoreIn()


@dataclass(frozen=True)
class Scoring:
    """How the account scores on a page: the name of its scores, those to choose from, and the scale.

    A number is written into a field with these limits; anything else is one of the choices of the scale.
    """

    name: str
    names: Sequence[str]
    scale: Scale
    is_number: bool
    minimum: float | None
    maximum: float | None
    description: str = ""


def get_scoring(principal: Principal, name: str) -> Scoring:
    """Return how the account scores under a name, whether the workspace configures it or not."""
    found = {config.name: config for config in list_configs(principal)}
    config = found.get(name)
    names = sorted({DEFAULT_NAME, name, *found}, key=lambda each: (each != DEFAULT_NAME, each))
    if config is None:
        return Scoring(name, names, make_scale(None), is_number=True, minimum=0, maximum=SCORE_MAX)
    limits = {"minimum": config.minimum, "maximum": config.maximum}
    kind, text = config.kind, config.description
    return Scoring(name, names, make_scale(config), is_number=kind == "number", description=text, **limits)


def give_score(principal: Principal, log_id: str, name: str, sent: str, comment: str | None = None) -> Any:
    """Store a score of the account; return it. Raises what the call does.

    `sent` is the text of a number or a category, or `true` or `false` where the workspace configures the name so.
    `comment` is what a form has sent: None, from a form without the field, keeps the comment that the account gave
    before, and an empty one removes it. The API's call, which has no third way, removes it in both cases.
    """
    config = get_config(principal.workspace_id, name)
    body: dict[str, Any] = {"name": name, "value": _read_value(sent, config), "annotator": HUMAN}
    if comment is not None:
        body["comment"] = comment.strip() or None
    values = load(_score_in, body) | {"log_id": log_id}
    if comment is None:
        del values["comment"]  # which the schema sets to null, as a whole score has it
    with writing():
        score, _ = scores.put_score(principal, values, make_check(principal.memberships, [values]))
    return score


def remove_own_score(principal: Principal, log_id: str, name: str) -> None:
    """Remove the account's score of this name from an output, if there is one."""
    own = scores.get_own_score(principal, store.get_log(principal, log_id), name)
    if own is None:
        return
    with writing():
        scores.remove_score(principal, *scores.lock_score(principal, own.id))


def _read_value(text: str, config: ScoreConfig | None) -> float | str:
    if config is not None and config.kind == "category":
        return text
    if config is not None and config.kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return to_number(text)
