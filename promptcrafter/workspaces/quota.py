"""The quota of workspaces: how many bytes each may store (decision 47)."""

from flask import Flask, current_app

from config import Config
from promptcrafter.database import usage
from promptcrafter.database.transactions import before_commit
from promptcrafter.problems import Problem

ROW_BYTES = 200  # which each row counts with beside its texts: about what its ids, times and numbers take
_SETTING = "MAX_WORKSPACE_BYTES"


class WorkspaceFull(Problem):
    """507: a workspace would store more than it may; `size` is how many bytes it would store.

    `stored` is a sentence about what of the request was stored.
    """

    def __init__(self, size: int, limit: int, stored: str = "Nothing was stored.") -> None:
        super().__init__(
            507,
            f"The workspace is full: with this it would store {size:,} bytes, and it may store {limit:,}. {stored} "
            f"Delete what is no longer needed, such as old logs, or ask the operator to raise {_SETTING}.",
            "workspace_full",
        )
        self.size, self.limit = size, limit


def init_app(app: Flask, config: Config) -> None:
    """Configure the limit."""
    app.config[_SETTING] = config.max_workspace_bytes


def limit() -> int | None:
    """Return how many bytes a workspace may store; None without a limit."""
    return current_app.config[_SETTING] or None


def check_growth(workspace_id: str) -> None:
    """Refuse the enclosing `writing()` before its commit if the workspace then stores more than it may.

    Call it wherever content is stored, before or after it is. Without a limit it does nothing. The commit raises
    WorkspaceFull.
    """
    most = limit()
    if most is not None:
        before_commit((_SETTING, workspace_id), lambda: _refuse_excess(workspace_id, 0, most))


def refuse_growth_by(workspace_id: str, size: int) -> None:
    """Raise WorkspaceFull if a workspace would store more than it may with this many bytes more."""
    most = limit()
    if most is not None and size:
        _refuse_excess(workspace_id, size, most)


def describe(workspace_id: str) -> dict[str, int]:
    """Return how many bytes a workspace stores and may store, as attributes; none without a limit."""
    most = limit()
    used = None if most is None else usage.get_bytes(workspace_id)
    return {} if most is None or used is None else {"used_bytes": used, "max_bytes": most}


def _refuse_excess(workspace_id: str, more: int, most: int) -> None:
    used = usage.get_bytes(workspace_id)
    if used is not None and used + more > most:
        raise WorkspaceFull(used + more, most)
