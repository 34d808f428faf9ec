"""Concurrent changes of workspaces, members and accounts through Gunicorn, on both databases: one consistent end."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from sqlalchemy import Column, create_engine, func, select, true

from promptcrafter.database.base import Base
from promptcrafter.ids import new_id
from tests.support.connection import Answer, Connection, create_prompt, sign_up
from tests.support.servers import LiveServer

_ROUNDS = 4
_WRITERS = 3


@pytest.fixture
def server(any_live_server: LiveServer) -> Iterator[LiveServer]:
    yield any_live_server
    pending = Base.metadata.tables["pending_deletions"].c.target_id
    wait_until(lambda: count_all(any_live_server, [pending]) == 0)  # the next test empties the database


@pytest.fixture
def people(server: LiveServer) -> dict[str, str]:
    """The tokens of accounts."""
    return {name: sign_up(server, name) for name in ("ada", "ben", "eve")}


def at_once(calls: Sequence[tuple[Connection, str, str, Any]]) -> list[Answer]:
    """Make calls at the same time; each is a connection, a method, a path and a body."""
    barrier = threading.Barrier(len(calls))

    def make(call: tuple[Connection, str, str, Any]) -> Answer:
        connection, *arguments = call
        barrier.wait()
        return connection.call(*arguments)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(make, calls))


def create_team(server: LiveServer, people: dict[str, str], number: int, roles: dict[str, str]) -> str:
    """Create a workspace of ada's with these members, and return its slug."""
    owner, slug = Connection(server, people["ada"]), f"team-{number}"
    assert owner.call("POST", "/workspaces", {"name": "Team", "slug": slug}).status == 201
    for name, role in roles.items():
        token = invite(owner, slug, role)
        assert Connection(server, people[name]).call("POST", "/invitations/accept", {"token": token}).status == 200
    return slug


def invite(owner: Connection, slug: str, role: str) -> str:
    return str(owner.call("POST", f"/workspaces/{slug}/invitations", {"role": role}).json["token"])


def id_of(server: LiveServer, token: str) -> str:
    return str(Connection(server, token).call("GET", "/auth/me").json["_id"])


def count_rows(server: LiveServer, workspace_id: str) -> int:
    """Return how many rows of a workspace the database has, that of the workspace itself included."""
    columns = [table.c.workspace_id for table in Base.metadata.sorted_tables if "workspace_id" in table.c]
    return count_all(server, [*columns, Base.metadata.tables["workspaces"].c.id], workspace_id)


def count_all(server: LiveServer, columns: Sequence[Column[Any]], value: str | None = None) -> int:
    """Return how many rows have a value in one of these columns, or any value."""
    engine = create_engine(server.environment["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            return sum(
                connection.scalar(
                    select(func.count()).select_from(column.table).where(true() if value is None else column == value)
                )
                or 0
                for column in columns
            )
    finally:
        engine.dispose()


def outcome(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["code"] if answer.status >= 400 else ""


@contextmanager
def writers(
    server: LiveServer,
    secrets: Sequence[str],
    calls: Sequence[tuple[str, Any]],
    method: str = "POST",
    make_headers: Callable[[], dict[str, str]] = dict,
) -> Iterator[Counter[Any]]:
    """Let several clients make these calls again and again during the block; yield what they were answered."""
    answers: Counter[Any] = Counter()
    stop = threading.Event()

    def write(secret: str) -> None:
        connection = Connection(server, secret)
        while not stop.is_set():
            for path, body in calls:
                answers[outcome(connection.call(method, path, body, **make_headers()))] += 1

    with ThreadPoolExecutor(len(secrets)) as pool:
        running = [pool.submit(write, secret) for secret in secrets]
        try:
            wait_until(lambda: answers.total() >= 2 * len(secrets))
            yield answers
        finally:
            stop.set()
        for each in running:
            each.result()


def new_key() -> dict[str, str]:
    return {"Idempotency_Key": new_id("log")}


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_of_two_accounts_accepts_an_invitation(server: LiveServer, people: dict[str, str]) -> None:
    owner = Connection(server, people["ada"])
    for number in range(_ROUNDS):
        slug = create_team(server, people, number, {})
        body = {"token": invite(owner, slug, "editor")}
        accepting = [Connection(server, people[name]) for name in ("ben", "eve")]
        answers = at_once([(each, "POST", "/invitations/accept", body) for each in accepting])
        assert sorted(map(outcome, answers)) == [(200, ""), (404, "invitation_not_found")]
        members = owner.call("GET", f"/workspaces/{slug}/members").json
        assert [each["role"] for each in members] == ["owner", "editor"]


def test_each_of_several_workspaces_with_one_name_gets_a_slug(server: LiveServer, people: dict[str, str]) -> None:
    creating = [Connection(server, token) for token in people.values() for _ in range(2)]
    answers = at_once([(each, "POST", "/workspaces", {"name": "Team"}) for each in creating])
    slugs = {answer.json.get("slug") for answer in answers}
    assert slugs == {"team", *(f"team-{number}" for number in range(2, len(creating) + 1))}


def test_one_of_two_owners_who_leave_stays(server: LiveServer, people: dict[str, str]) -> None:
    ids = {name: id_of(server, people[name]) for name in ("ada", "ben")}
    for number in range(_ROUNDS):
        slug = create_team(server, people, number, {"ben": "owner"})
        leaving = {name: Connection(server, people[name]) for name in ids}
        paths = {name: f"/workspaces/{slug}/members/{ids[name]}" for name in ids}
        answers = at_once([(leaving[name], "DELETE", path, None) for name, path in paths.items()])
        assert sorted(map(outcome, answers)) == [(204, ""), (409, "last_owner")]
        stays = next(name for name, answer in zip(ids, answers, strict=True) if answer.status == 409)
        members = leaving[stays].call("GET", f"/workspaces/{slug}/members").json
        assert [(each["userId"], each["role"]) for each in members] == [(ids[stays], "owner")]


def test_nothing_is_written_by_a_key_after_its_member_was_removed(server: LiveServer, people: dict[str, str]) -> None:
    slug = create_team(server, people, 0, {"ben": "editor"})
    owner, ben = Connection(server, people["ada"]), Connection(server, people["ben"])
    key = ben.call("POST", "/auth/keys", {"name": "k", "workspace": slug}).json["key"]
    prompt = create_prompt(Connection(server, key))
    body = {"promptId": prompt, "output": "o", "modelUsed": "m"}
    with ExitStack() as stack:
        each = [stack.enter_context(writers(server, [key], [("/logs", body)])) for _ in range(_WRITERS)]
        removal = owner.call("DELETE", f"/workspaces/{slug}/members/{id_of(server, people['ben'])}")
        assert removal.status == 204
        # A call that began before the removal may be stored after it; a writer's is over once the next is refused
        wait_until(lambda: all(answers[401, "unauthorized"] >= 1 for answers in each))
        count = len(owner.call("GET", f"/logs?promptId={prompt}").json)
        wait_until(lambda: all(answers[401, "unauthorized"] >= 5 for answers in each))
    answers = sum(each, Counter())
    assert answers.keys() == {(201, ""), (401, "unauthorized")}, answers
    assert len(owner.call("GET", f"/logs?promptId={prompt}").json) == count == answers[201, ""]
    assert owner.call("GET", f"/workspaces/{slug}/keys").json == []
    assert ben.call("POST", "/logs", body).status == 403
    assert "Traceback" not in server.log


def test_a_workspace_is_deleted_while_its_members_write(server: LiveServer, people: dict[str, str]) -> None:
    slug = create_team(server, people, 0, {"ben": "editor"})
    workspace_id = Connection(server, people["ada"]).call("GET", f"/workspaces/{slug}").json["_id"]
    there = {"X_Workspace": slug}
    owner = Connection(server, people["ada"])
    prompt = owner.call("POST", "/prompts", {"title": "A title", "content": "c", "model": "m"}, **there).json["_id"]
    log = {"promptId": prompt, "output": "o", "modelUsed": "m"}
    for _ in range(3):
        assert owner.call("POST", "/logs/batch", {"logs": [log] * 1000}).status == 200
    key = Connection(server, people["ben"]).call("POST", "/auth/keys", {"name": "k", "workspace": slug}).json["key"]
    calls = [
        ("/logs", log),
        ("/prompts", {"title": "A title", "content": "c", "model": "m"}),
        ("/monitor/log", {"slug": "a-title", "output": "o"}),
    ]
    with writers(server, [key] * _WRITERS, calls) as answers:
        assert owner.call("DELETE", f"/workspaces/{slug}?confirm={slug}").status == 204
        answered = answers[401, "unauthorized"]
        wait_until(lambda: answers[401, "unauthorized"] >= answered + 2 * _WRITERS)
    assert {status for status, _ in answers} <= {200, 201, 401, 403, 404}, answers
    assert outcome(owner.call("GET", "/prompts", **there)) == (404, "workspace_not_found")
    assert owner.call("GET", f"/prompts/{prompt}").status in (403, 404)
    wait_until(lambda: count_rows(server, workspace_id) == 0)
    assert outcome(owner.call("GET", f"/prompts/{prompt}")) == (404, "prompt_not_found")
    assert owner.call("POST", "/workspaces", {"name": "Team", "slug": slug}).status == 201
    assert owner.call("GET", "/prompts", **there).json == owner.call("GET", "/logs", **there).json == []
    assert "Traceback" not in server.log


def test_workspaces_and_accounts_are_deleted_at_once_while_members_change_things(
    server: LiveServer, people: dict[str, str]
) -> None:
    ben = Connection(server, people["ben"])
    own = {"promptId": create_prompt(ben), "output": "o", "modelUsed": "m"}
    for number in range(3):
        slug = create_team(server, people, number, {"ben": "editor", "eve": "editor"})
        keys = [
            Connection(server, people[name]).call("POST", "/auth/keys", {"name": "k", "workspace": slug}).json["key"]
            for name in ("ben", "eve")
        ]
        prompt = create_prompt(Connection(server, keys[0]))
        log = {"promptId": prompt, "output": "o", "modelUsed": "m"}
        more = [("/prompts", {"title": "A title", "content": "c", "model": "m"}), ("/logs/batch", {"logs": [log] * 5})]
        is_last = number == 2
        changes = ({"title": f"Title {n}", "content": f"c{n}"} for n in range(2))
        with (
            writers(server, keys, [("/logs", log), *more], make_headers=new_key) as answers,
            writers(server, keys, [(f"/prompts/{prompt}", body) for body in changes], method="PATCH") as patched,
            writers(server, [people["ben"]], [("/logs", own), more[0]]) as alone,
        ):
            if is_last:
                removal = ben.call("DELETE", "/auth/me", {"currentPassword": "the password of ben"})
            else:
                removal = Connection(server, people["ada"]).call("DELETE", f"/workspaces/{slug}?confirm={slug}")
            assert removal.status == 204, removal.json
        assert {status for status, _ in answers + patched + alone} <= {200, 201, 401, 403, 404}, (
            answers,
            patched,
            alone,
        )
    assert "Traceback" not in server.log


def test_an_account_is_deleted_once_however_often_at_a_time(server: LiveServer, people: dict[str, str]) -> None:
    slug = create_team(server, people, 0, {"eve": "editor"})
    leaving = [Connection(server, people["eve"]) for _ in range(3)]
    body = {"currentPassword": "the password of eve"}
    answers = at_once([(each, "DELETE", "/auth/me", body) for each in leaving])
    refusals = {(401, "unauthorized"), (503, "unavailable"), (503, "passwords_busy")}  # a worker hashes two at a time
    assert {outcome(each) for each in answers} <= {(204, ""), *refusals}, answers
    assert 204 in {each.status for each in answers}
    assert leaving[0].call("GET", "/auth/me").status == 401
    owner = Connection(server, people["ada"])
    assert [each["name"] for each in owner.call("GET", f"/workspaces/{slug}/members").json] == ["ada"]
    assert sign_up(server, "eve"), "the address is free again"
    assert "Traceback" not in server.log
