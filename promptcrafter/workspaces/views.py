"""The routes of workspaces, their members, invitations and keys."""

from typing import Any

from flask import Response, url_for

from promptcrafter.database.transactions import write_until_done, writing
from promptcrafter.http import lists
from promptcrafter.http.blueprint import Blueprint
from promptcrafter.permissions import Permission
from promptcrafter.workspaces import audit, invitation_store, key_store, member_store, quota, store
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.models import AuditEntry
from promptcrafter.workspaces.principal import is_owner, refuse_non_owner
from promptcrafter.workspaces.schemas import (
    SLUG_EXAMPLE,
    AcceptIn,
    AuditEntryOut,
    AuditQuery,
    DeletionQuery,
    InvitationIn,
    InvitationOut,
    MemberOut,
    MemberPatch,
    NewInvitationOut,
    WorkspaceIn,
    WorkspaceKeyOut,
    WorkspaceOut,
    WorkspacePatch,
    WorkspaceWithUse,
)

blueprint = Blueprint(
    "workspaces",
    __name__,
    description="Who shares prompts: workspaces, their members, invitations and keys",
    path_examples={"workspace": SLUG_EXAMPLE},
)
_workspace_out = WorkspaceOut()
_audit_entry_out = AuditEntryOut()
_location = {"Location": {"schema": {"type": "string"}}}


@blueprint.route("/workspaces", permission=Permission.READ)
@blueprint.response(200, WorkspaceOut(many=True))
def list_workspaces() -> list[dict[str, Any]]:
    """List the caller's workspaces, the personal one first."""
    return store.list_workspaces(current_principal())


@blueprint.route("/workspaces", methods=["POST"], permission=Permission.ACCOUNT, refuses=(403, 409))
@blueprint.arguments(WorkspaceIn())
@blueprint.response(201, _workspace_out, headers=_location)
def create_workspace(body: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Create a workspace, which the caller owns."""
    principal = current_principal()
    with writing():
        workspace = store.add_workspace(principal, body["name"], body.get("slug"))
    return (
        store.show(workspace, "owner"),
        201,
        {"Location": url_for("workspaces.get_workspace", workspace=workspace.id)},
    )


@blueprint.route("/workspaces/<workspace>", permission=Permission.READ, refuses=(403, 404))
@blueprint.response(200, WorkspaceWithUse())
def get_workspace(workspace: str) -> dict[str, Any]:
    """Return a workspace, by its id or slug; for its owners with what it stores, if there is a limit."""
    principal = current_principal()
    found = store.get_workspace(principal, workspace)
    use = quota.describe(found.id) if is_owner(principal, found.id) else {}
    return {**store.show(found, principal.memberships[found.id].role), **use}


@blueprint.route("/workspaces/<workspace>", methods=["PATCH"], permission=Permission.MANAGE, refuses=(403, 404, 409))
@blueprint.arguments(WorkspacePatch())
@blueprint.response(200, _workspace_out)
def change_workspace(body: dict[str, Any], workspace: str) -> dict[str, Any]:
    """Change the name, the slug or the protected labels."""
    principal = current_principal()
    with writing():
        locked = store.lock_workspace(principal, workspace)
        if body:
            store.change_workspace(principal, locked, body)
    return store.show(locked, principal.memberships[locked.id].role)


@blueprint.route("/workspaces/<workspace>", methods=["DELETE"], permission=Permission.MANAGE, refuses=(403, 404, 409))
@blueprint.arguments(DeletionQuery(), location="query")
@blueprint.response(204)
def delete_workspace(query: dict[str, Any], workspace: str) -> None:
    """Delete a workspace and all that it has; `confirm` must be its slug."""
    principal = current_principal()

    def remove() -> None:
        with writing():
            store.remove_workspace(store.lock_workspace(principal, workspace), query["confirm"])

    write_until_done(remove)


@blueprint.route("/workspaces/<workspace>/members", permission=Permission.READ, refuses=(403, 404))
@blueprint.response(200, MemberOut(many=True))
def list_members(workspace: str) -> Any:
    """List the members, those who joined first before the others."""
    return member_store.list_members(store.get_workspace(current_principal(), workspace))


@blueprint.route(
    "/workspaces/<workspace>/members/<user_id>",
    methods=["PATCH"],
    permission=Permission.MANAGE,
    refuses=(403, 404, 409),
)
@blueprint.arguments(MemberPatch())
@blueprint.response(200, MemberOut())
def change_member(body: dict[str, Any], workspace: str, user_id: str) -> Any:
    """Change the role of a member; one owner must remain."""
    principal = current_principal()
    user_id = _read_user_id(user_id)
    with writing():
        locked = store.lock_workspace(principal, workspace)
        member_store.set_role(principal, locked, user_id, body["role"])
        member = member_store.get_member(locked, user_id)
    return member


@blueprint.route(
    "/workspaces/<workspace>/members/<user_id>",
    methods=["DELETE"],
    permission=Permission.LEAVE,
    refuses=(403, 404, 409),
)
@blueprint.response(204)
def remove_member(workspace: str, user_id: str) -> None:
    """Leave a workspace, or remove another member, which takes an owner; one owner must remain."""
    principal = current_principal()
    user_id = _read_user_id(user_id)

    def remove() -> None:
        with writing():
            locked = store.lock_workspace(principal, workspace)
            if user_id != principal.user_id:
                refuse_non_owner(principal, locked.id)
            member_store.remove_member(principal, locked, user_id)

    write_until_done(remove)


@blueprint.route("/workspaces/<workspace>/keys", permission=Permission.MANAGE, refuses=(403, 404))
@blueprint.response(200, WorkspaceKeyOut(many=True))
def list_workspace_keys(workspace: str) -> list[dict[str, Any]]:
    """List the API keys that are bound to the workspace, newest first."""
    return key_store.list_keys(store.get_workspace(current_principal(), workspace))


@blueprint.route(
    "/workspaces/<workspace>/keys/<key_id>", methods=["DELETE"], permission=Permission.MANAGE, refuses=(403, 404)
)
@blueprint.response(204)
def delete_workspace_key(workspace: str, key_id: str) -> None:
    """Revoke an API key of any member that is bound to the workspace."""
    principal = current_principal()
    with writing():
        key_store.remove_key(principal, store.lock_workspace(principal, workspace), key_id)


@blueprint.route(
    "/workspaces/<workspace>/invitations",
    methods=["POST"],
    permission=Permission.MANAGE,
    refuses=(403, 404, 409),
    returns_secret=True,
)
@blueprint.arguments(InvitationIn())
@blueprint.response(201, NewInvitationOut())
def create_invitation(body: dict[str, Any], workspace: str) -> dict[str, Any]:
    """Create an invitation; its token is shown this once, and one account may accept it."""
    principal = current_principal()
    with writing():
        locked = store.lock_workspace(principal, workspace)
        invitation, token = invitation_store.add_invitation(principal, locked, body["role"], body["expires_in_days"])
    columns = ("id", "role", "author_id", "created_at", "expires_at")
    url = f"{url_for('sign_in.show_invitation', _external=True)}#{token}"
    return {**{column: getattr(invitation, column) for column in columns}, "token": token, "url": url}


@blueprint.route("/workspaces/<workspace>/invitations", permission=Permission.MANAGE, refuses=(403, 404))
@blueprint.response(200, InvitationOut(many=True))
def list_invitations(workspace: str) -> Any:
    """List the open invitations, newest first."""
    return invitation_store.list_invitations(store.get_workspace(current_principal(), workspace))


@blueprint.route(
    "/workspaces/<workspace>/invitations/<invitation_id>",
    methods=["DELETE"],
    permission=Permission.MANAGE,
    refuses=(403, 404),
)
@blueprint.response(204)
def delete_invitation(workspace: str, invitation_id: str) -> None:
    """Revoke an invitation, with immediate effect."""
    principal = current_principal()
    with writing():
        invitation_store.remove_invitation(principal, store.lock_workspace(principal, workspace), invitation_id)


@blueprint.route("/workspaces/<workspace>/audit", permission=Permission.MANAGE, refuses=(403, 404))
@blueprint.arguments(AuditQuery(), location="query")
@blueprint.list_response(AuditEntryOut(many=True))
def list_audit_entries(query: dict[str, Any], workspace: str) -> Response:
    """List who changed what in the workspace, newest first."""
    entries = audit.find_entries(store.get_workspace(current_principal(), workspace).id, query)
    return lists.list_response(entries, (AuditEntry.created_at, AuditEntry.seq), _audit_entry_out, query)


@blueprint.route("/invitations/accept", methods=["POST"], permission=Permission.ACCOUNT, refuses=(403, 404, 409))
@blueprint.arguments(AcceptIn())
@blueprint.response(200, _workspace_out)
def accept_invitation(body: dict[str, Any]) -> dict[str, Any]:
    """Become a member of the workspace that an invitation is for."""
    principal = current_principal()
    with writing():
        workspace = invitation_store.accept_invitation(principal, body["token"])
        role = member_store.get_member(workspace, principal.user_id).role
    return store.show(workspace, role)


def _read_user_id(user_id: str) -> str:
    """Return the id of the member that a path names; `me` is the caller."""
    return current_principal().user_id if user_id == "me" else user_id
