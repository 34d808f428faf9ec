"""Compiled statements have the same effects and errors as the same statements executed by SQLAlchemy."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import bindparam, literal, literal_column, select
from sqlalchemy.exc import IntegrityError, OperationalError

from promptcrafter.database.base import Base
from promptcrafter.database.compiled import CompiledQuery, CompiledWrite
from promptcrafter.database.session import session
from promptcrafter.database.transactions import writing
from promptcrafter.idempotency.models import IdempotencyRecord
from promptcrafter.logs.models import Log
from promptcrafter.logs.store import _compile_insert
from promptcrafter.workspaces.principal import personal_workspace_id
from tests.support.databases import only_sqlite
from tests.support.people import Person
from tests.support.rows import idempotency_row

TABLE = Base.metadata.tables["logs"]
MOMENT = datetime(2026, 11, 22, 10, 0, 0, 123000, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "id": "log_x",
    "output": "東京 '\n",
    "score": 7.5,
    "created_at": MOMENT,
    "updated_at": MOMENT,
    "meta": {"b": [1, None, "é"], "a": {}},
    "computed": ["cost"],
    "notes": None,
}
NAMES = (*VALUES, "workspace_id", "author_id")


@pytest.fixture(autouse=True)
def context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def of(person: Person) -> dict[str, Any]:
    return {**VALUES, "workspace_id": personal_workspace_id(person.id), "author_id": person.id}


def change() -> CompiledWrite:
    return _compile_insert(NAMES)


def test_values_are_bound_as_by_sqlalchemy(ada: Person) -> None:
    rows = [{**of(ada)}, {**of(ada), "id": "log_y", "score": 10.0}]
    with writing():
        change().execute(rows)
        session.add(Log(**{**of(ada), "id": "log_z"}))
    kept = {log.id: {name: getattr(log, name) for name in NAMES} for log in session.scalars(select(Log))}
    assert kept == {row["id"]: row for row in [*rows, {**rows[0], "id": "log_z"}]}


def test_a_query_uses_its_arguments_and_its_literal_values(ada: Person) -> None:
    with writing():
        change().execute([{**of(ada)}])
    found = CompiledQuery(
        select(Log.id, literal(3), Log.score).where(Log.created_at == bindparam("at"), Log.score > literal(7))
    )
    row = found.first(at=MOMENT)
    assert row is not None
    assert tuple(row) == ("log_x", 3, 7.5)
    assert found.first(at=datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_a_violated_constraint_raises_the_same_error_and_rolls_back(ada: Person) -> None:
    rows = [{**of(ada)}, {**of(ada), "author_id": "user_nobody", "id": "log_y"}]
    with pytest.raises(IntegrityError) as raised, writing():
        change().execute(rows)
    assert "東京" not in str(raised.value)
    assert session.scalars(select(Log.id)).all() == []


@only_sqlite
def test_an_invalid_statement_raises_the_same_error() -> None:
    wrong = CompiledQuery(select(literal_column("unheard_of")).select_from(TABLE).where(TABLE.c.id == bindparam("id")))
    with pytest.raises(OperationalError, match="no such column"):
        wrong.first(id=1)


def test_a_session_and_its_connection_share_one_transaction(app: Flask, ada: Person) -> None:
    def write(*, fails: bool) -> None:
        with writing():
            session.add(IdempotencyRecord(**idempotency_row(ada.id)))
            change().execute([{**of(ada)}])
            assert session.scalars(select(Log.id)).all() == ["log_x"], "it sees what the connection has written"
            if fails:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        write(fails=True)
    assert (session.scalars(select(Log.id)).all(), session.scalars(select(IdempotencyRecord.key)).all()) == ([], [])
    write(fails=False)
    with app.app_context():  # another session, another connection
        assert session.scalars(select(Log.id)).all() == ["log_x"]
        assert session.scalars(select(IdempotencyRecord.key)).all() == ["k"]
