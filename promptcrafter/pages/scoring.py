"""Scoring on pages: a person's score of an output, as `POST /logs/:id/scores` takes it."""

from typing import Any

from promptcrafter.database.transactions import writing
from promptcrafter.http.schemas import load
from promptcrafter.logs import scores, store
from promptcrafter.logs.models import HUMAN
from promptcrafter.pages.forms import to_number
from promptcrafter.scores.configs import get_configs, make_check
from promptcrafter.scores.models import ScoreConfig
from promptcrafter.scores.schemas import ScoreIn
from promptcrafter.workspaces.principal import Principal

_score_in = ScoreIn()


def give_score(principal: Principal, log_id: str, name: str, sent: str, comment: str | None = None) -> Any:
    """Store a score of the account; return it. Raises what the call does.

    `sent` is the text of a number or a category, or `true` or `false` where the workspace configures the name so.
    """
    config = get_configs([principal.workspace_id], [name]).get((principal.workspace_id, name))
    body: dict[str, Any] = {"name": name, "value": _read_value(sent, config), "annotator": HUMAN}
    if comment:
        body["comment"] = comment
    values = load(_score_in, body) | {"log_id": log_id}
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
