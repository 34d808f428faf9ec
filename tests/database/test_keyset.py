"""How much of an index a page of a list reads."""

import sqlite3
from contextlib import closing

import pytest
from flask import Flask

from tests.support.databases import only_sqlite
from tests.support.many_logs import add_logs, engine_of
from tests.support.people import Person
from tests.support.statements import statements

_MANY = 4000
_FIRST, _DEEP = "1700000000000-1", f"{1_700_000_000_000 + _MANY}-{_MANY}"


def _count_steps(app: Flask, person: Person, path: str, database: str) -> int:
    """Return how many hundreds of instructions SQLite executes for the statement that lists logs."""
    with statements(app) as seen:
        answer = person.get(path)
        assert answer.status_code == 200, answer.text
    ((statement, values),) = [pair for pair in seen if "FROM logs" in pair[0] and "ORDER BY" in pair[0]]
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    with closing(sqlite3.connect(database)) as connection:
        connection.set_progress_handler(count, 100)
        connection.execute(statement, values).fetchall()
    return steps


@only_sqlite
@pytest.mark.parametrize("scope", ["", "promptId={prompt}&"], ids=["workspace", "prompt"])
@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("until=2999-01-01", _DEEP, _FIRST),
        ("since=1999-01-01&sort=createdAt", _FIRST, _DEEP),
        ("since=1999-01-01&until=2999-01-01&sort=createdAt", _FIRST, _DEEP),
        ("maxScore=9&sort=-score", f"5-{_DEEP}", f"5-{_FIRST}"),
    ],
)
def test_a_late_page_within_a_period_reads_no_more_than_an_early_one(
    app: Flask, ada: Person, database_url: str, scope: str, query: str, near: str, far: str
) -> None:
    prompt_id = ada.prompt()["_id"]
    engine = engine_of(database_url)
    add_logs(engine, ada.id, _MANY, prompt_id=prompt_id, score=4)
    engine.dispose()
    path, file = (
        f"/logs?{scope.format(prompt=prompt_id)}{query}&per_page=2&cursor=",
        database_url.split("sqlite:///")[1],
    )
    early, late = (_count_steps(app, ada, path + cursor, file) for cursor in (near, far))
    assert max(early, late) < 20
