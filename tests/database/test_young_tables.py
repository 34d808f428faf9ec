"""PostgreSQL knows a table soon after it has begun to grow."""

from contextlib import suppress

import pytest
from flask import Flask
from sqlalchemy import Column, MetaData, String, Table

from promptcrafter.database import young_tables
from promptcrafter.database.transactions import writing
from tests.support.otlp import export, make_span
from tests.support.people import Person
from tests.support.statements import statements

CHAT = {"gen_ai.operation.name": "chat"}


def gathered(app: Flask, person: Person, times: int) -> list[str]:
    with statements(app) as seen:
        for _ in range(times):
            assert export(person, make_span(CHAT)).status_code == 200
    return [statement for statement, _ in seen if statement.startswith("ANALYZE")]


def test_statistics_of_traces_are_gathered_once(
    app: Flask, ada: Person, engine_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(young_tables, "ENOUGH", 1)
    monkeypatch.setattr(young_tables, "MANY", 2**63)
    expected = ["ANALYZE (SKIP_LOCKED) traces (workspace_id, id, source, external_id)"]
    assert gathered(app, ada, 3) == (expected if engine_name == "postgresql" else [])


def test_statistics_are_gathered_after_the_first_commit_not_after_a_transaction_that_is_rolled_back(
    app: Flask, engine_name: str
) -> None:
    unknown = Table("unheard_of_too", MetaData(), Column("id", String))
    with app.app_context(), statements(app) as seen:
        with suppress(LookupError), writing():
            young_tables.note_growth(unknown, ["id"], [young_tables.ENOUGH])
            raise LookupError
        assert not [statement for statement, _ in seen if statement.startswith("ANALYZE")]
        for _ in range(2):
            with writing():
                young_tables.note_growth(unknown, ["id"], [young_tables.ENOUGH])
                young_tables.note_growth(unknown, ["id"], [young_tables.ENOUGH])
    gathered = [statement for statement, _ in seen if statement.startswith("ANALYZE")]
    assert gathered == (["ANALYZE (SKIP_LOCKED) unheard_of_too (id)"] if engine_name == "postgresql" else [])


@pytest.mark.parametrize("name", ["ENOUGH", "MANY"])
def test_a_table_with_too_few_rows_or_many_is_left_to_the_daemon(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(young_tables, "ENOUGH", 2**62 if name == "ENOUGH" else 1)
    monkeypatch.setattr(young_tables, "MANY", 2**63 if name == "ENOUGH" else 1)
    assert gathered(app, ada, 2) == []


def test_what_goes_wrong_then_does_not_fail_the_request(app: Flask) -> None:
    unknown = Table("unheard_of", MetaData(), Column("id", String))
    with app.app_context(), writing():
        young_tables.note_growth(unknown, ["id"], [young_tables.ENOUGH])
