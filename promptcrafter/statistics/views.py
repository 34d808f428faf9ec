"""The routes of statistics of a prompt's logs and of comparisons between logs."""

from typing import Any

from flask import Response

from promptcrafter.http import lists
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.formats import write_csv, write_markdown
from promptcrafter.jsonio import dumps
from promptcrafter.logs.store import get_logs
from promptcrafter.permissions import Permission
from promptcrafter.prompts.store import refuse_prompt_not_owned
from promptcrafter.statistics import store
from promptcrafter.statistics.aggregates import describe
from promptcrafter.statistics.comparison_markdown import write_comparison
from promptcrafter.statistics.schemas import KEYS, CompareOut, CompareQuery, GroupOut, StatsOut, StatsQuery
from promptcrafter.statistics.word_diff import compare
from promptcrafter.workspaces.authentication import current_principal

blueprint = Blueprint("stats", __name__, description="Statistics of a prompt's logs, and comparisons between logs")
_stats_out = StatsOut()
_compare_out = CompareOut()
_COLUMNS = lists.columns_of(GroupOut())


@blueprint.route("/prompts/<prompt_id>/stats", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(StatsQuery(), location="query")
@blueprint.negotiated_response(_stats_out, "text/csv", "text/markdown")
def get_stats(query: dict[str, Any], prompt_id: str) -> Response:
    """Return statistics of a prompt's logs, grouped by model, version or both; the highest mean score comes first."""
    refuse_prompt_not_owned(current_principal(), prompt_id)
    keys = query["groupBy"]
    aggregates = store.get_aggregates(current_principal(), {**query, "promptId": prompt_id}, keys)
    stats = _stats_out.dump({"promptId": prompt_id, "groupBy": keys, "groups": describe(aggregates, keys)})
    columns = [name for name in _COLUMNS if name in keys or name not in KEYS]
    return lists.negotiated_response(
        {
            "application/json": lambda: [dumps(stats)],
            "text/csv": lambda: write_csv(stats["groups"], columns),
            "text/markdown": lambda: write_markdown(stats["groups"], columns),
        }
    )


@blueprint.route("/compare", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(CompareQuery(), location="query")
@blueprint.negotiated_response(_compare_out, "text/markdown")
def compare_logs(query: dict[str, Any]) -> Response:
    """Return logs side by side, with the differences of their outputs from the first one's, word by word."""
    logs = get_logs(current_principal(), query["logs"])
    first, *others = [log.output or "" for log in logs]
    differences = [
        {"logId": log.id, "against": logs[0].id, "words": [{"op": op, "text": text} for op, text in changes]}
        for log, changes in zip(logs[1:], compare(first, others), strict=True)
    ]
    compared = _compare_out.dump({"logs": logs, "differences": differences})
    return lists.negotiated_response(
        {"application/json": lambda: [dumps(compared)], "text/markdown": lambda: write_comparison(compared)}
    )
