"""What a request does whose account was deleted after it was authenticated."""

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import func, select

from promptcrafter.database.session import session
from promptcrafter.database.transactions import writing
from promptcrafter.problems import Unauthorized
from promptcrafter.workspaces import store
from promptcrafter.workspaces.models import Member
from promptcrafter.workspaces.principal import at_home
from tests.support.people import Person


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
