"""`costs recompute`: token counts and costs of stored logs by the rules and prices of this release."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import click

from promptcrafter.cli.commands import Command, Group, Refusal, count, progress, say, show_table
from promptcrafter.cli.workspaces import list_principals, workspace_option
from promptcrafter.database.transactions import writing
from promptcrafter.logs import prices, store, token_costs

_ROWS_AT_ONCE = 50  # few, because a row may have two texts of a mebibyte
_MODELS_SHOWN = 50
_MODELS_KEPT = 10_000  # the logs of further models are summed as one
_LARGE = 1e12  # dollars, above which a cost is shown in powers of ten
_OTHERS = "(others)"
_COLUMNS = ("MODEL", "LOGS", "COST", "COST NOW", "PRICED AS")


@dataclass
class _Difference:
    """The logs of one model that change, with the sum of their costs before and after."""

    logs: int = 0
    before: float | None = None  # None: none of them has a cost
    after: float | None = None
    entries: Counter[str | None] = field(default_factory=Counter)

    def add(self, log: dict[str, Any], changes: dict[str, Any]) -> None:
        """Add a log and its changed attributes."""
        self.logs += 1
        self.before = _add(self.before, log["cost"])
        self.after = _add(self.after, changes.get("cost", log["cost"]))
        self.entries[changes.get("priced_as", log["priced_as"])] += 1


@click.group(cls=Group)
def costs() -> None:
    """Compute costs again."""


@costs.command("recompute", cls=Command)
@click.option("--apply", "is_applied", is_flag=True, help="Store the changes. Without it they are only shown.")
@click.option("--user", "email", metavar="EMAIL", help="Only the personal workspace of this account.")
@workspace_option
def recompute(is_applied: bool, email: str | None, workspace: str | None) -> None:
    """Compute token counts and costs of stored logs anew, by the prices of today's list.

    What a client sent stays as it is, and so do the results of AgentTest's clients.
    """
    if not prices.is_available():
        raise Refusal("The price list cannot be loaded: costs would be lost.")
    owners = list_principals(email, workspace)
    expected = sum(store.count_recomputable(owner) for owner in owners)
    differences: dict[str, _Difference] = {}
    seen = 0
    with progress("Computing") as on_progress:
        for owner in owners:
            for logs in store.each_recomputable(owner, _ROWS_AT_ONCE):
                by_id = {log["id"]: log for log in logs}
                changes = {log["id"]: changed for log in logs if (changed := token_costs.recomputed(log))}
                if is_applied and changes:
                    with writing():
                        stored = store.change_costs(changes, by_id)
                    changes = {log_id: changes[log_id] for log_id in changes if log_id in stored}
                for log_id, changed in changes.items():
                    model = by_id[log_id]["model_used"] or ""
                    if model not in differences and len(differences) >= _MODELS_KEPT:
                        model = _OTHERS
                    differences.setdefault(model, _Difference()).add(by_id[log_id], changed)
                seen += len(logs)
                on_progress(seen, max(expected, seen))
    _show(differences, seen, is_applied)


COMMANDS = (costs,)


def _show(differences: dict[str, _Difference], seen: int, is_applied: bool) -> None:
    largest = sorted(differences.items(), key=lambda item: (-item[1].logs, item[0]))
    if largest:
        show_table(_COLUMNS, [_to_row(model, difference) for model, difference in largest[:_MODELS_SHOWN]])
    if len(largest) > _MODELS_SHOWN:
        click.echo(f"and {count(len(largest) - _MODELS_SHOWN, 'other model')}")
    changed = sum(difference.logs for difference in differences.values())
    before = sum(difference.before or 0 for difference in differences.values())
    after = sum(difference.after or 0 for difference in differences.values())
    verb = "changed" if is_applied else "would change"
    click.echo(f"{changed:,} of {count(seen, 'log')} {verb}: cost {_dollars(before)} before, {_dollars(after)} now.")
    if changed and not is_applied:
        say("Nothing was stored: --apply stores the changes.")


def _to_row(model: str, difference: _Difference) -> list[str]:
    entries = [entry or "no price" for entry, _ in difference.entries.most_common(3)]
    return [
        model[:60] or "unknown",
        f"{difference.logs:,}",
        _dollars(difference.before),
        _dollars(difference.after),
        ", ".join(entries),
    ]


def _add(amount: float | None, cost: float | None) -> float | None:
    return amount if cost is None else (amount or 0) + cost


def _dollars(amount: float | None) -> str:
    if amount is None:
        return "none"
    return f"${amount:,.6f}" if amount < _LARGE else f"${amount:.3g}"
