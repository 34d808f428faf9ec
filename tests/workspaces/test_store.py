"""What a request does whose account was deleted after it was authenticated."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from promptcrafter.auth import store as accounts
from promptcrafter.auth import views as auth_views
from promptcrafter.auth.models import ApiKey, User
from promptcrafter.cli import accounts as commands
from promptcrafter.database.session import session
from promptcrafter.database.transactions import writing
from promptcrafter.problems import Unauthorized
from promptcrafter.workspaces import store, views_accounts
from promptcrafter.workspaces.models import Member
from promptcrafter.workspaces.principal import at_home
from tests.support.commands import refused, run
from tests.support.people import Caller, Person


@pytest.mark.parametrize("join", ["create", "accept"])
def test_a_deleted_account_becomes_a_member_of_nothing(app: Flask, ada: Person, ben: Person, join: str) -> None:
    ada.post("/workspaces", {"name": "Team"})
    token = ada.post("/workspaces/team/invitations", {"role": "owner"}).json["token"]
    assert ben.delete("/auth/me", json={"currentPassword": ben.password}).status_code == 204
    act: dict[str, Callable[[], object]] = {
        "create": lambda: store.add_workspace(at_home(ben.id), "Another", None),
        "accept": lambda: store.accept_invitation(at_home(ben.id), token),
    }
    with app.app_context():
        with pytest.raises(Unauthorized), writing():
            act[join]()
        members = select(func.count()).select_from(Member).where(Member.user_id == ben.id)
        assert session.scalar(members) == 0
    assert ada.get("/workspaces/team/invitations").json != [], "it stays open"


def writing_after_the_deletion(app: Flask, person: Person) -> Callable[[], AbstractContextManager[None]]:
    """Return `writing` for a module, before whose block another request deletes the account."""

    def delete_account() -> None:
        with app.app_context(), writing():
            store.remove_account(at_home(person.id), anonymise=False)

    @contextmanager
    def delete_and_write() -> Iterator[None]:
        with ThreadPoolExecutor(1) as other:  # another request, with a session of its own
            other.submit(delete_account).result()
        with writing():
            yield

    return delete_and_write


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

    monkeypatch.setattr(views_accounts, "writing", writing_after_the_deletion(app, ben))
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
    for module in (auth_views, commands):
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
        assert (user.password_hash, user.email, user.disabled_since) == ("", "", user.deleted_at)
