"""Scoring on pages: a person's score of an output, as `POST /logs/:id/scores` takes it."""

from typing import Any

from promptcrafter.database.transactions import writing
from promptcrafter.http.schemas import load
from promptcrafter.logs import scores
from promptcrafter.logs.models import HUMAN
from promptcrafter.pages.forms import read_number
from promptcrafter.scores.configs import make_check
from promptcrafter.scores.schemas import ScoreIn
from promptcrafter.workspaces.principal import Principal

_score_in = ScoreIn()


def give_score(principal: Principal, log_id: str, name: str, sent: str, comment: str | None = None) -> Any:
    """Store a score of the account; return it. Raises what the call does.

    `sent` is the text of a number or a category.
    """
    body: dict[str, Any] = {"name": name, "value": read_number(sent), "annotator": HUMAN}
    if comment:
        body["comment"] = comment
    values = load(_score_in, body) | {"log_id": log_id}
    with writing():
        score, _ = scores.put_score(principal, values, make_check(principal.memberships, [values]))
    return score
