"""`check` and `reindex`: what is computed from what is stored, compared with it, and the search indices rebuilt."""

from collections.abc import Mapping

import click

from promptcrafter.cli.commands import Command, Refusal, count, progress, say
from promptcrafter.database import revisions
from promptcrafter.maintenance import aggregation, score_aggregates, search_index
from promptcrafter.maintenance.score_aggregates import Differences
from promptcrafter.maintenance.search_index import Comparison


@click.command("check", cls=Command)
def check() -> None:
    """Compare the search indices, the mean scores of logs and the aggregates of statistics with what is stored.

    The service may run. On SQLite, writers wait while an index is compared.
    """
    revisions.refuse_mismatch()
    with progress("Comparing") as on_progress:
        found = search_index.compare(on_progress)
        wrong_days = aggregation.mark_wrong(on_progress)
    with progress("Comparing scores") as on_progress:
        differences = score_aggregates.compare(on_progress)
    if wrong_days:
        days = count(wrong_days, "day")
        click.echo(f"Aggregates of statistics that differed from the logs: {days}. The service computes them again.")
    lines = _explain(found) + _explain_scores(differences)
    if not lines:
        click.echo(f"The search finds everything: {_describe(found.rows) or 'nothing is stored'}.")
        return
    for line in lines:
        click.echo(line)
    if found.is_right:
        raise Refusal("What logs keep of their scores does not match these. Set it anew: flask --app wsgi reindex")
    raise Refusal("The search indices do not match what is stored. Rebuild them: flask --app wsgi reindex")


@click.command("reindex", cls=Command)
def reindex() -> None:
    """Rebuild the search indices, and the mean scores of logs.

    The service may run. On SQLite, writers wait while an index is rebuilt.
    """
    revisions.refuse_mismatch()
    with progress("Indexing") as on_progress:
        mended = search_index.reindex(on_progress)
    say(f"The search indices are rebuilt; {count(mended, 'entry', 'entries')} changed.")
    with progress("Comparing scores") as on_progress:
        logs = score_aggregates.mend(on_progress)
    if logs:
        say(f"What {count(logs, 'log')} kept of their scores is set anew.")


COMMANDS = (check, reindex)


def _explain(found: Comparison) -> list[str]:
    lines = {
        "Not found by any search": _describe(found.missing),
        "Found by the words of another text": _describe(found.stale),
        "Entries of logs that are gone": f"{found.orphans:,}" if found.orphans else "",
        "Indices that differ from their table": ", ".join(found.damaged),
    }
    return [f"{title}: {text}." for title, text in lines.items() if text]


def _explain_scores(found: Differences) -> list[str]:
    lines = {
        "Mean or number of scores is not that of the scores": found.aggregates,
        "Shows a score that it does not have": found.shown_scores,
    }
    return [f"{title}: {count(len(logs), 'log')}." for title, logs in lines.items() if logs]


def _describe(rows: Mapping[str, int]) -> str:
    return ", ".join(count(rows.get(noun, 0), noun) for noun in ("log", "prompt") if rows.get(noun))
