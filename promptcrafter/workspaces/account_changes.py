"""Changes and the deletion of an account by its owner, which the API and the pages share."""

from collections.abc import Mapping
from typing import Any

from promptcrafter.auth import store as accounts
from promptcrafter.auth import throttle
from promptcrafter.auth.models import User
from promptcrafter.auth.password_changes import check_password
from promptcrafter.database.transactions import write_until_done, writing
from promptcrafter.problems import Invalid, Problem
from promptcrafter.workspaces import account_store, member_store
from promptcrafter.workspaces.principal import Principal, find_workspace_id


def change_account(principal: Principal, body: Mapping[str, Any]) -> User:
    """Change an account as AccountPatch describes it.

    Another address takes the password, and no API key: raises 400, 401 and 403, 409 for an address in use, and 429.
    """
    if "email" in body:
        if principal.api_key_id:
            raise Problem(403, "This API key does not allow that: it takes a token.", "scope_forbids")
        check_password(principal.user_id, body.get("currentPassword"))
        throttle.count_signup()
    default = body.get("defaultWorkspaceId")
    if default is not None:
        default = find_workspace_id(principal.memberships, default)
        if default is None:
            raise Invalid({"defaultWorkspaceId": ["must be the id or the slug of one of your workspaces"]})
    with writing():
        user = accounts.lock_account(principal.user_id)
        accounts.change_user(user, {name: body[name] for name in ("name", "email") if name in body})
        if "defaultWorkspaceId" in body:
            member_store.set_default(user.id, default)
    return user


def delete_account(principal: Principal, password: str, *, anonymise: bool) -> None:
    """Delete an account, its personal workspace and all that this has.

    What it made in other workspaces stays, under its name or, with `anonymise`, under `deleted account`. Raises 401 for
    a wrong password, and 409 for the only owner of a workspace with other members.
    """
    check_password(principal.user_id, password)

    def remove() -> None:
        with writing():
            account_store.remove_account(principal, anonymise=anonymise)

    write_until_done(remove)
