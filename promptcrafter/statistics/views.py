"""The routes of statistics of logs."""

from datetime import UTC
from typing import Any

from flask import Response, request

from promptcrafter.http.blueprint import Blueprint
from promptcrafter.http.fields import is_relative_time
from promptcrafter.permissions import Permission
from promptcrafter.prompts import store as prompts
from promptcrafter.statistics.keys import DOCUMENTED
from promptcrafter.statistics.report_response import respond
from promptcrafter.statistics.schemas import (
    AllStatsOut,
    AllStatsQuery,
    StatsOut,
    StatsQuery,
)
from promptcrafter.workspaces.authentication import current_principal

blueprint = Blueprint("stats", __name__, description="Statistics of logs, and comparisons between logs")
_stats_out, _all_stats_out = StatsOut(), AllStatsOut()


@blueprint.route("/prompts/<prompt_id>/stats", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(StatsQuery(), location="query")
@blueprint.negotiated_response(_stats_out, "text/csv", "text/markdown")
def get_stats(query: dict[str, Any], prompt_id: str) -> Response:
    """Return statistics of a prompt's logs in groups, and what the groups differ by."""
    workspace_id = prompts.get_workspace_id(current_principal(), prompt_id)
    is_documented = set(query["groupBy"]) <= set(DOCUMENTED) and query["tz"] is UTC
    return respond(
        {**query, "promptId": prompt_id},
        _stats_out,
        workspace_id=workspace_id,
        is_bounded=not is_documented,
        is_since_fixed=_is_since_fixed(),
    )


@blueprint.route("/stats", permission=Permission.READ, refuses=(403, 404))
@blueprint.arguments(AllStatsQuery(), location="query")
@blueprint.negotiated_response(_all_stats_out, "text/csv", "text/markdown")
def get_all_stats(query: dict[str, Any]) -> Response:
    """Return statistics of the workspace's logs in groups, and what the groups differ by."""
    workspace_id = current_principal().workspace_id
    if "promptId" in query:
        workspace_id = prompts.get_workspace_id(current_principal(), query["promptId"])
    return respond(query, _all_stats_out, workspace_id=workspace_id, is_bounded=True, is_since_fixed=_is_since_fixed())


def _is_since_fixed() -> bool:
    return not is_relative_time(request.args.get("since", ""))
