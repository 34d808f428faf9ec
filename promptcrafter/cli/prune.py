"""`prune`: delete old logs and traces, and reclaim their disk space."""

import re
from datetime import datetime, timedelta
from typing import Any

import click

from promptcrafter import clock
from promptcrafter.cli.commands import Command, Refusal, count, progress, say
from promptcrafter.cli.workspaces import list_principals, workspace_option
from promptcrafter.database import sqlite
from promptcrafter.database.session import database_size, is_sqlite
from promptcrafter.logs import store as logs
from promptcrafter.maintenance import purge, vacuum
from promptcrafter.maintenance.pace import Pace
from promptcrafter.traces import store as traces
from promptcrafter.workspaces import audit
from promptcrafter.workspaces.principal import Principal

_ROWS_AT_ONCE = 500
_DAYS = {"d": 1, "w": 7, "y": 365}


@click.command("prune", cls=Command)
@click.option("--older-than", "age", metavar="AGE", required=True, help="Days, weeks or years: 90d, 12w, 2y.")
@click.option("--keep-scored", is_flag=True, help="Keep reviewed logs: those with a score or notes.")
@click.option("--dry-run", is_flag=True, help="Count, and delete nothing.")
@click.option("--user", "email", metavar="EMAIL", help="Only the personal workspace of this account.")
@workspace_option
@click.option("--audit", "is_audit", is_flag=True, help="Delete entries of the audit trail instead of logs.")
def prune(age: str, keep_scored: bool, dry_run: bool, email: str | None, workspace: str | None, is_audit: bool) -> None:
    """Delete old logs of all workspaces and give back their room.

    Traces that are as old and have no log left go with them.
    """
    if is_audit and keep_scored:
        raise Refusal("--keep-scored is about logs: leave it or --audit out.")
    filters: dict[str, Any] = {"until": _read_age(age)}
    if keep_scored:
        filters["is_reviewed"] = False
    owners = list_principals(email, workspace)
    if is_audit:
        _prune_audit(owners, filters["until"], dry_run=dry_run)
        return
    counted = [sum(store.count_expired(owner, filters) for owner in owners) for store in (logs, traces)]
    if dry_run:
        click.echo(f"{_enumerate(*counted)} would go.")
        return
    before = database_size()
    purge.run()  # what was deleted before, and still takes room
    deleted = _delete(owners, filters, sum(counted))
    click.echo(f"Deleted {_enumerate(*deleted)}.")
    if any(deleted):
        _reclaim(before)


COMMANDS = (prune,)


def _delete(owners: list[Principal], filters: dict[str, Any], expected: int) -> list[int]:
    """Delete in small transactions, so that others can write between them; return the numbers of logs and traces."""
    deleted = [0, 0]
    pace = Pace()
    with progress("Deleting") as on_progress:
        for owner in owners:
            entry = audit.CountingEntry(owner, "prune", ("logs", "traces"))
            for kind, (name, store) in enumerate((("logs", logs), ("traces", traces))):
                for rows in store.each_expired(owner, filters, _ROWS_AT_ONCE):
                    for part in pace.parts(rows):
                        with pace.transaction():
                            removed = store.remove_expired(owner, filters, part)
                            if removed:
                                entry.add({name: removed})
                        deleted[kind] += removed
                        on_progress(sum(deleted), max(expected, sum(deleted)))
    return deleted


def _prune_audit(owners: list[Principal], moment: datetime, *, dry_run: bool) -> None:
    """Delete the entries of the audit trails that are older than a moment, in small transactions."""
    workspace_ids = [owner.current_id for owner in owners]
    if dry_run:
        entries = count(audit.count_before(moment, workspace_ids), "entry", "entries")
        click.echo(f"{entries} of the audit trail would go.")
        return
    deleted, pace = 0, Pace()
    while True:
        with pace.transaction():
            some = audit.remove_before(moment, workspace_ids, _ROWS_AT_ONCE)
        deleted += some
        if some < _ROWS_AT_ONCE:
            break
    click.echo(f"Deleted {count(deleted, 'entry', 'entries')} of the audit trail.")


def _reclaim(before: int) -> None:
    try:
        with progress("Giving back") as on_progress:
            vacuum.reclaim(on_progress)
    except sqlite.NoSpace as error:
        say(f"The file keeps its size, which what comes next will use: to write it anew, {error}.")
    click.echo(f"The database takes {max(0, before - database_size()):,} bytes less on the disk.")
    if not is_sqlite():
        say("PostgreSQL keeps the rest of the room for what comes next.")


def _read_age(text: str) -> datetime:
    """Return the time that is an age such as `90d` before now. Raises Refusal for any other text."""
    match = re.fullmatch("([1-9][0-9]{0,5})([dwy])", text)
    try:
        if match:
            return clock.now() - timedelta(days=int(match[1]) * _DAYS[match[2]])
    except OverflowError:
        pass  # before the year 1
    raise Refusal("--older-than takes days, weeks or years, at least one, such as 90d, 12w or 2y.")


def _enumerate(log_count: int, trace_count: int) -> str:
    return f"{count(log_count, 'log')} and {count(trace_count, 'trace')}"
