"""A violated constraint becomes the exception that the caller names for it, on both databases."""

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from promptcrafter.database.base import Base
from promptcrafter.database.errors import translating
from promptcrafter.database.session import session
from promptcrafter.database.transactions import writing
from promptcrafter.idempotency.models import IdempotencyRecord
from tests.support.environment import ROOT
from tests.support.people import Person
from tests.support.rows import idempotency_row

USERS, PROMPTS = Base.metadata.tables["users"], Base.metadata.tables["prompts"]


class First(Exception):
    pass


class Second(Exception):
    pass


@pytest.fixture(autouse=True)
def context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def test_a_unique_constraint_of_one_column(ada: Person) -> None:
    known = session.execute(select(USERS).where(USERS.c.id == ada.id)).mappings().one()
    twin = {**known, "id": "user_twin", "seq": known["seq"] + 1, "email_identity": None}
    with pytest.raises(First) as raised, writing(), translating({"uq_users_id": Second, "uq_users_email_key": First}):
        session.execute(insert(USERS), twin)
    assert isinstance(raised.value.__cause__, IntegrityError)


def test_a_unique_index(ada: Person) -> None:
    known = session.execute(select(USERS).where(USERS.c.id == ada.id)).mappings().one()
    twin = {**known, "id": "user_twin", "seq": known["seq"] + 1, "email_key": "another"}
    exceptions = {"uq_users_email_key": Second, "ix_users_email_identity": First}
    with pytest.raises(First), writing(), translating(exceptions):
        session.execute(insert(USERS), twin)


def test_a_unique_constraint_of_two_columns(ada: Person) -> None:
    ada.prompt()
    known = session.execute(select(PROMPTS)).mappings().one()
    columns = {name: value for name, value in known.items() if name != "seq"}
    with pytest.raises(First), writing(), translating({"uq_prompts_id": Second, "uq_prompts_workspace_id_slug": First}):
        session.execute(insert(PROMPTS), {**columns, "id": "prompt_twin"})


def test_a_primary_key_and_not_the_foreign_key_beside_it(ada: Person) -> None:
    exceptions = {"fk_idempotency_keys_workspace_id_user_id": Second, "pk_idempotency_keys": First}
    with pytest.raises(First), writing(), translating(exceptions):
        session.execute(insert(IdempotencyRecord), [idempotency_row(ada.id), idempotency_row(ada.id)])


def test_a_foreign_key_and_not_the_primary_key_beside_it(ada: Person) -> None:
    exceptions = {"pk_idempotency_keys": Second, "fk_idempotency_keys_workspace_id_user_id": First}
    with pytest.raises(First), writing(), translating(exceptions):
        session.execute(insert(IdempotencyRecord), idempotency_row(ada.id, user_id="user_nobody"))


def test_postgresql_names_the_foreign_key_and_on_sqlite_the_first_entry_applies(ada: Person, engine_name: str) -> None:
    exceptions = {"fk_idempotency_keys": First, "fk_idempotency_keys_workspace_id_user_id": Second}
    with pytest.raises(First if engine_name == "sqlite" else Second), writing(), translating(exceptions):
        session.execute(insert(IdempotencyRecord), idempotency_row(ada.id, user_id="user_nobody"))


def test_a_constraint_that_is_not_named_stays_an_integrity_error(ada: Person) -> None:
    exceptions = {"uq_users_email_key": First, "pk_users": Second}
    with pytest.raises(IntegrityError), writing(), translating(exceptions):
        session.execute(insert(IdempotencyRecord), [idempotency_row(ada.id), idempotency_row(ada.id)])
    with pytest.raises(IntegrityError), writing(), translating(exceptions):
        session.execute(insert(IdempotencyRecord), idempotency_row(ada.id, fingerprint=None))


def test_every_constraint_that_a_store_names_exists() -> None:
    tables = Base.metadata.tables.values()
    names = {str(constraint.name) for table in tables for constraint in table.constraints}
    names |= {str(index.name) for table in tables for index in table.indexes}
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "promptcrafter").glob("*/store.py"))
    given = set(re.findall(r'"((?:uq|pk|fk|ix)_\w+)"', code))
    assert given
    assert given <= names
