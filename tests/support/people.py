"""Clients of the API in this process: anonymous callers, and accounts that are signed in."""

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Dialect, Table, insert, make_url, select
from werkzeug.test import TestResponse

from config import Config
from promptcrafter import create_app
from promptcrafter.auth import passwords
from promptcrafter.database.base import Base
from promptcrafter.database.session import get_engine
from tests.support.environment import SECRET


class Answer(TestResponse):
    """A response whose JSON is typed `Any`, since each test knows its shape."""

    @property
    def json(self) -> Any:
        return self.get_json()


class Caller:
    """A client of the API that sends these headers with each call; anonymous without a token among them."""

    def __init__(self, client: FlaskClient, headers: dict[str, str] | None = None) -> None:
        self.client = client
        self.headers = headers or {}

    def open(self, path: str, headers: dict[str, str] | None = None, **kwargs: Any) -> Answer:
        merged = {**self.headers, **(headers or {})}
        return cast(Answer, self.client.open(path, headers=merged, buffered=True, **kwargs))

    def get(self, path: str, **kwargs: Any) -> Answer:
        return self.open(path, method="GET", **kwargs)

    def options(self, path: str, **kwargs: Any) -> Answer:
        return self.open(path, method="OPTIONS", **kwargs)

    def post(self, path: str, json: Any = None, **kwargs: Any) -> Answer:
        return self.open(path, method="POST", json=json, **kwargs)

    def patch(self, path: str, json: Any = None, **kwargs: Any) -> Answer:
        return self.open(path, method="PATCH", json=json, **kwargs)

    def put(self, path: str, json: Any = None, **kwargs: Any) -> Answer:
        return self.open(path, method="PUT", json=json, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> Answer:
        return self.open(path, method="DELETE", **kwargs)


class Person(Caller):
    """A client that is signed in to an account."""

    def __init__(self, caller: Caller, id: str, token: str, email: str, password: str) -> None:
        super().__init__(caller.client, {"Authorization": f"Bearer {token}"})
        self.id = id
        self.token = token
        self.email = email
        self.password = password

    def prompt(self, **values: Any) -> dict[str, Any]:
        """Create a prompt and return it."""
        body = {"title": "A title", "content": "Some content", "model": "gpt-4o", **values}
        return _created(self.post("/prompts", body))

    def log(self, prompt: dict[str, Any], **values: Any) -> dict[str, Any]:
        """Log an output of a prompt and return it."""
        body = {"promptId": prompt["_id"], "output": "An output", "modelUsed": "gpt-4o", **values}
        return _created(self.post("/logs", body))


def _created(answer: Answer) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


_hash_once = cache(passwords.hash_password)  # hashing a password takes as long as ten requests
# So does a comparison with a hash, which depends on nothing else: people sign in to the pages in most tests of these.
# Only right passwords are remembered, because a wrong one raises
PasswordHasher.verify = cache(PasswordHasher.verify)  # type: ignore[method-assign]


def sign_up(client: Caller, name: str) -> Person:
    """Create an account of that name. Equal names have equal hashes of their passwords."""
    email, password = f"{name}@example.com", f"the password of {name}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "hash_password", _hash_once)
        answer = _created(client.post("/auth/signup", json={"name": name, "email": email, "password": password}))
    return Person(client, answer["user"]["_id"], answer["token"], email, password)


_DIALECTS = {name: make_url(f"{name}://").get_dialect()() for name in ("sqlite", "postgresql")}


@dataclass(frozen=True)
class Account:
    """An account that was signed up once, with the statements that write its rows, by the name of the engine."""

    id: str
    token: str
    email: str
    password: str
    inserts: dict[str, str]

    def sign_in(self, client: Caller) -> Person:
        """Return a client that is signed in; the account is in the database already."""
        return Person(client, self.id, self.token, self.email, self.password)


@pytest.fixture(scope="session")
def accounts(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Account]:
    """The accounts of ada and ben, signed up once; `database_url` writes them into the databases of tests.

    The rows fit any database, and the tokens any application with the tests' secret.
    """
    path = shutil.copy(sqlite_template, tmp_path_factory.mktemp("accounts") / "accounts.db")
    app = create_app(Config(database_url=f"sqlite:///{path}", jwt_secret_key=SECRET))
    accounts, known = {}, _read_rows(app)
    for name in ("ada", "ben"):
        person, rows = sign_up(Caller(app.test_client()), name), _read_rows(app)
        new = {table: [row for row in rows[table] if row not in known[table]] for table in rows}
        inserts = {engine: _make_inserts(new, dialect) for engine, dialect in _DIALECTS.items()}
        accounts[name] = Account(person.id, person.token, person.email, person.password, inserts)
        known = rows
    with app.app_context():
        get_engine().dispose()
    return accounts


def _read_rows(app: Flask) -> dict[Table, list[dict[str, Any]]]:
    """Return the rows of every table, without the columns that the database generates."""
    with app.app_context(), get_engine().connect() as connection:
        return {
            table: [dict(row) for row in connection.execute(select(*_columns_of_inserts(table))).mappings()]
            for table in Base.metadata.sorted_tables
        }


def _make_inserts(rows: dict[Table, list[dict[str, Any]]], dialect: Dialect) -> str:
    """Return statements that write rows, values included."""
    statements = [insert(table).values(row) for table, added in rows.items() for row in added]
    return "; ".join(str(each.compile(dialect=dialect, compile_kwargs={"literal_binds": True})) for each in statements)


def _columns_of_inserts(table: Table) -> list[Any]:
    return [column for column in table.columns if column.identity is None and column.computed is None]


@pytest.fixture
def client(app: Flask) -> Caller:
    """An anonymous caller."""
    return Caller(app.test_client())


@pytest.fixture
def ada(client: Caller, accounts: dict[str, Account]) -> Person:
    """The account that owns the resources of a test."""
    return accounts["ada"].sign_in(client)


@pytest.fixture
def ben(client: Caller, accounts: dict[str, Account]) -> Person:
    """Another account, which owns none of these resources."""
    return accounts["ben"].sign_in(client)
