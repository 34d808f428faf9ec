"""Responses with statistics, in the media type that was asked for."""

from collections.abc import Mapping
from typing import Any

from flask import Response
from marshmallow import Schema

from promptcrafter.http import lists
from promptcrafter.http.formats import write_csv, write_markdown
from promptcrafter.jsonio import dumps
from promptcrafter.logs.models import DEFAULT_NAME
from promptcrafter.statistics.report import report_for_query
from promptcrafter.statistics.schemas import GroupOut, key_fields
from promptcrafter.workspaces.authentication import current_principal

_COLUMNS = [name for name in lists.columns_of(GroupOut()) if name not in key_fields()]


def respond(
    query: Mapping[str, Any], schema: Schema, *, workspace_id: str, is_bounded: bool, is_since_fixed: bool
) -> Response:
    """Return the report for a query as JSON in the shape of `schema`, or its groups as CSV or a Markdown table."""
    keys = query["groupBy"]
    columns = [*keys, *(name for name in _COLUMNS if name != "categories" or query["score"] != DEFAULT_NAME)]

    def find(*, with_comparisons: bool) -> dict[str, Any]:
        found = report_for_query(
            current_principal(),
            query,
            workspace_id=workspace_id,
            is_bounded=is_bounded,
            is_since_fixed=is_since_fixed,
            with_comparisons=with_comparisons,
        )
        dumped: dict[str, Any] = schema.dump({**query, **found})
        return dumped

    return lists.negotiated_response(
        {
            "application/json": lambda: [dumps(find(with_comparisons=True))],
            "text/csv": lambda: write_csv(map(_nest, find(with_comparisons=False)["groups"]), columns),
            "text/markdown": lambda: write_markdown(map(_nest, find(with_comparisons=False)["groups"]), columns),
        }
    )


def _nest(group: dict[str, Any]) -> dict[str, Any]:
    """Return a group for a table, in which a full stop in the name of a column means an object in an object."""
    nested: dict[str, Any] = {}
    for key, value in group.get("metadata", {}).items():
        inner, (*outside, last) = nested, key.split(".")
        for name in outside:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return {**group, "metadata": nested}
