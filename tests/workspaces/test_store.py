"""What a request does whose account was deleted after it was authenticated."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from promptcrafter.auth import password_changes
from promptcrafter.auth import store as accounts
from promptcrafter.auth.models import ApiKey, User
from promptcrafter.cli import accounts as commands
from promptcrafter.database.session import session
from promptcrafter.database.transactions import write_if_possible, writing
from promptcrafter.dialects.basalt import views_monitor
from promptcrafter.logs import recording
from promptcrafter.problems import Unauthorized
from promptcrafter.prompts import views as prompts_views
from promptcrafter.transfer import importer
from promptcrafter.transfer import store as transfer
from promptcrafter.workspaces import account_changes, account_store, invitation_store, store, views_accounts
from promptcrafter.workspaces.models import Member
from promptcrafter.workspaces.principal import at_home
from tests.support.commands import refused, run
from tests.support.people import Answer, Caller, Person
from tests.support.transfer import NDJSON_HEADERS, export


@pytest.mark.parametrize("join", ["create", "accept"])
def test_a_deleted_account_becomes_a_member_of_nothing(app: Flask, ada: Person, ben: Person, join: str) -> None:
    ada.post("/workspaces", {"name": "Team"})
    token = ada.post("/workspaces/team/invitations", {"role": "owner"}).json["token"]
    assert ben.delete("/auth/me", json={"currentPassword": ben.password}).status_code == 204
    act: dict[str, Callable[[], object]] = {
        "create": lambda: store.add_workspace(at_home(ben.id), "Another", None),
        "accept": lambda: invitation_store.accept_invitation(at_home(ben.id), token),
    }
    with app.app_context():
        with pytest.raises(Unauthorized), writing():
            act[join]()
        members = select(func.count()).select_from(Member).where(Member.user_id == ben.id)
        assert session.scalar(members) == 0
    assert ada.get("/workspaces/team/invitations").json != [], "it stays open"


def writing_after(meanwhile: Callable[[], None]) -> Callable[[], AbstractContextManager[None]]:
    """Return `writing` for a module: before its first block, another request does something."""
    waiting = [meanwhile]

    @contextmanager
    def do_and_write() -> Iterator[None]:
        if waiting:
            do_in_other_request(waiting.pop())
        with writing():
            yield

    return do_and_write


def write_if_possible_after(meanwhile: Callable[[], None]) -> Callable[..., bool]:
    """Return `write_if_possible` for a module: before it, another request does something."""

    def do_and_write(write: Callable[[], object], wait_s: float) -> bool:
        do_in_other_request(meanwhile)
        return write_if_possible(write, wait_s)

    return do_and_write


def do_in_other_request(act: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as other:  # which has a session of its own
        other.submit(act).result()


def writing_after_the_deletion(app: Flask, person: Person) -> Callable[[], AbstractContextManager[None]]:
    """Return `writing` for a module: before its block, another request deletes the account."""

    def delete_account() -> None:
        with app.app_context(), writing():
            account_store.remove_account(at_home(person.id), anonymise=False)

    return writing_after(delete_account)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/auth/keys", {"name": "late"}),
        ("POST", "/auth/keys", {"name": "late", "workspace": "team"}),
        ("PATCH", "/auth/me", {"email": "late@example.com", "currentPassword": "the password of ben"}),
        ("PATCH", "/auth/me", {"name": "Late"}),
        ("DELETE", "/auth/me", {"currentPassword": "the password of ben", "anonymise": True}),
    ],
)
def test_a_deleted_account_gets_no_key_and_no_address(
    app: Flask, ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: dict[str, Any]
) -> None:
    ada.post("/workspaces", {"name": "Team"})
    token = ada.post("/workspaces/team/invitations", {"role": "editor"}).json["token"]
    assert ben.post("/invitations/accept", {"token": token}).status_code == 200

    for module in (views_accounts, account_changes):
        monkeypatch.setattr(module, "writing", writing_after_the_deletion(app, ben))
    assert ben.open(path, method=method, json=body).status_code == 401
    with app.app_context():
        assert session.scalars(select(ApiKey).where(ApiKey.user_id == ben.id)).all() == []
        assert session.scalars(select(User.email).where(User.id == ben.id)).one() == ""


@pytest.mark.parametrize("change", ["reset-password", "disable", "enable", "delete", "a reset", "another password"])
def test_a_deleted_account_gets_no_password_and_is_not_enabled(
    app: Flask, client: Caller, ben: Person, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    with app.app_context(), writing():
        secret, _ = accounts.add_reset(ben.id)
    for module in (password_changes, commands):
        monkeypatch.setattr(module, "writing", writing_after_the_deletion(app, ben))
    new = "a password of ben's"
    if change == "a reset":
        answer = client.post("/auth/password/reset", {"token": secret, "newPassword": new})
        assert (answer.status_code, answer.json["code"]) == (404, "reset_not_found")
    elif change == "another password":
        answer = ben.post("/auth/password", {"currentPassword": ben.password, "newPassword": new})
        assert (answer.status_code, answer.json["code"]) == (401, "wrong_password")
    else:
        option = {"reset-password": ["--password-stdin"], "delete": ["--yes"]}.get(change, [])
        assert "No account has the address" in refused(run(app, "user", change, ben.email, *option, stdin=new))
    with app.app_context():
        user = accounts.get_user(ben.id)
        assert (user.password_hash, user.email) == ("", "")
        assert user.disabled_since is not None


def test_the_password_of_an_account_that_is_deleted_before_it_is_compared_is_wrong(
    app: Flask, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete_account() -> None:
        with app.app_context(), writing():
            account_store.remove_account(at_home(ben.id), anonymise=False)

    get_user, waiting = accounts.get_user, [delete_account]

    def get_deleted_user(user_id: str) -> Any:
        if waiting:
            do_in_other_request(waiting.pop())
        return get_user(user_id)

    monkeypatch.setattr(accounts, "get_user", get_deleted_user)
    answer = ben.post("/auth/password", {"currentPassword": ben.password, "newPassword": "a password of ben's"})
    assert (answer.status_code, answer.json["code"]) == (401, "wrong_password")


def test_a_request_about_a_workspace_that_was_deleted_meanwhile_is_refused(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    new = {"title": "A title", "content": "c", "model": "m"}
    calls: list[tuple[Any, str, Callable[[Any], Answer]]] = [
        (prompts_views, "create", lambda there: ada.post("/prompts", new, **there)),
        (recording, "log", lambda there: ada.post("/logs", {**log(there), "modelUsed": "m"}, **there)),
        (recording, "batch", lambda there: ada.post("/logs/batch", {"logs": [log(there)] * 2}, **there)),
        (views_monitor, "monitor", lambda there: ada.post("/monitor/log", {"slug": "nope", "output": "o"}, **there)),
        (importer, "import", lambda there: ada.post("/import?ids=new", data=file, **with_type(there))),
        (transfer, "export", lambda there: ada.get("/export", **there)),
        (prompts_views, "idempotent", lambda there: ada.post("/prompts", new, **with_key(there))),
        (recording, "idempotent log", lambda there: ada.post("/logs", log(there), **with_key(there))),
        (prompts_views, "restore", lambda there: ada.post(f"{path(there)}/versions/1/restore", **with_key(there))),
    ]
    ada.prompt()
    file = export(ada)
    prompts: dict[str, str] = {}

    def log(there: Any) -> dict[str, Any]:
        return {"promptId": prompts[there["headers"]["X-Workspace"]], "output": "o", "model": "m"}

    def path(there: Any) -> str:
        return f"/prompts/{prompts[there['headers']['X-Workspace']]}"

    def with_key(there: Any) -> Any:
        return {"headers": {**there["headers"], "Idempotency-Key": "k"}}

    def with_type(there: Any) -> Any:
        return {"headers": {**there["headers"], **NDJSON_HEADERS}}

    for number, (module, name, call) in enumerate(calls):
        slug = f"team-{number}"
        workspace_id = ada.post("/workspaces", {"name": "Team", "slug": slug}).json["_id"]
        there = {"headers": {"X-Workspace": slug}}
        prompts[slug] = ada.post("/prompts", new, **there).json["_id"]

        def delete_workspace(workspace_id: str = workspace_id) -> None:
            with app.app_context(), writing():
                store.delete_with_contents(store.lock_any_workspace(workspace_id))

        with monkeypatch.context() as patched, subtests.test(name):
            if module is transfer:
                patched.setattr(module, "write_if_possible", write_if_possible_after(delete_workspace))
            else:
                patched.setattr(module, "writing", writing_after(delete_workspace))
            answer = call(there)
            for problem in [answer.json] if name != "batch" else answer.json["results"]:
                assert problem["code"] in ("workspace_not_found", "prompt_not_found"), answer.text
            assert answer.status_code == (404 if name != "batch" else 200)
