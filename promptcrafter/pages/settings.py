"""Settings: the account, its API keys, and the workspace with its members, invitations, keys and audit trail."""

from typing import Any

from flask import request, url_for
from werkzeug.wrappers import Response

from promptcrafter import clock
from promptcrafter.auth import hashing, passwords, throttle
from promptcrafter.auth import store as accounts
from promptcrafter.auth.schemas import PasswordIn
from promptcrafter.database.transactions import write_until_done, writing
from promptcrafter.pages import lists, sessions
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import Form, read_form
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import ROLES, SCOPES, Permission
from promptcrafter.problems import Problem
from promptcrafter.workspaces import audit, store
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.models import AuditEntry
from promptcrafter.workspaces.principal import is_owner, refuse_non_owner
from promptcrafter.workspaces.schemas import AccountPatch, AuditQuery, InvitationIn, KeyIn, MemberPatch, WorkspaceIn

blueprint = PageBlueprint("settings", __name__)


@blueprint.page("/settings/account")
def show_account() -> Response:
    """Show the account's name and password."""
    return _show_account(Form({}))


@blueprint.page("/settings/account", methods=["POST"], permission=Permission.ACCOUNT)
def change_account() -> Response:
    """Change the account's name."""
    form = read_form(AccountPatch())
    _refuse_form_of_other(form.sent.get("account"))
    if form.errors:
        return _show_account(form)
    with writing():
        user = store.lock_account(current_principal().user_id)
        accounts.change_user(user, {name: form.values[name] for name in ("name",) if name in form.values})
    return redirect_with(url_for("settings.show_account"), "account_saved")


@blueprint.page("/settings/password", methods=["POST"], permission=Permission.CREDENTIALS)
def change_password() -> Response:
    """Change the password, which ends all other sessions, and begin a new one here."""
    form = read_form(PasswordIn())
    if form.errors:
        return _show_account(form)
    try:
        _change_password(form.values)
    except Problem as problem:
        return _show_account(Form({}, errors={"currentPassword": [problem.message]}), problem.status)
    response = redirect_with(url_for("settings.show_account"), "password_changed")
    sessions.start(response, accounts.get_user(current_principal().user_id))
    return response


@blueprint.page("/settings/keys")
def list_keys() -> Response:
    """List the account's API keys."""
    return _show_keys(Form({}))


@blueprint.page("/settings/keys", methods=["POST"], permission=Permission.ACCOUNT, returns_secret=True)
@throttle.limit_keys
def create_key() -> Response:
    """Make an API key, and show it this once."""
    principal = current_principal()
    scopes = request.form.getlist("scopes")
    converted: dict[str, Any] = {"scopes": scopes} if scopes else {}
    form = read_form(KeyIn(), **converted)
    if form.errors:
        return _show_keys(form)
    values = {name: value for name, value in form.values.items() if name != "workspace"}
    with writing():
        store.lock_account(principal.user_id)
        if "workspace" in form.values:
            values["workspace_id"] = store.lock_workspace(principal, form.values["workspace"]).id
        _, secret = store.add_key(principal, values)
    return _show_keys(Form({}), secret=secret)


@blueprint.page("/settings/keys/<key_id>/revoke", methods=["POST"], permission=Permission.ACCOUNT)
def revoke_key(key_id: str) -> Response:
    """Revoke an API key of the account."""
    principal = current_principal()
    with writing():
        store.note_key(principal, "key.revoke", accounts.remove_key(principal.user_id, key_id))
    return redirect_with(url_for("settings.list_keys"), "key_revoked")


@blueprint.page("/settings/team")
def show_team() -> Response:
    """Show who is a member of the workspace, and who is invited."""
    return _show_team(Form({}))


@blueprint.page("/settings/team/invitations", methods=["POST"], permission=Permission.MANAGE, returns_secret=True)
def create_invitation() -> Response:
    """Invite somebody, and show the link this once."""
    principal = current_principal()
    form = read_form(InvitationIn())
    if form.errors:
        return _show_team(form)
    with writing():
        locked = store.lock_workspace(principal, principal.current_id)
        _, token = store.add_invitation(principal, locked, form.values["role"], form.values["expires_in_days"])
    return _show_team(Form({}), link=f"{url_for('sign_in.show_invitation', _external=True)}#{token}")


@blueprint.page("/settings/team/invitations/<invitation_id>/revoke", methods=["POST"], permission=Permission.MANAGE)
def revoke_invitation(invitation_id: str) -> Response:
    """Revoke an invitation."""
    principal = current_principal()
    with writing():
        store.remove_invitation(principal, store.lock_workspace(principal, principal.current_id), invitation_id)
    return redirect_with(url_for("settings.show_team"), "invitation_revoked")


@blueprint.page("/settings/team/<user_id>", methods=["POST"], permission=Permission.MANAGE)
def change_member(user_id: str) -> Response:
    """Change the role of a member."""
    principal = current_principal()
    form = read_form(MemberPatch())
    if form.errors:
        return _show_team(form)
    with writing():
        store.set_role(principal, store.lock_workspace(principal, principal.current_id), user_id, form.values["role"])
    return redirect_with(url_for("settings.show_team"), "role_changed")


@blueprint.page("/settings/team/<user_id>/remove", methods=["POST"], permission=Permission.LEAVE)
def remove_member(user_id: str) -> Response:
    """Leave the workspace, or remove a member."""
    principal = current_principal()

    def remove() -> None:
        with writing():
            locked = store.lock_workspace(principal, principal.current_id)
            if user_id != principal.user_id:
                refuse_non_owner(principal, locked.id)
            store.remove_member(principal, locked, user_id)

    write_until_done(remove)
    if user_id == principal.user_id:
        return redirect_with(url_for("home.find_home"), "left")
    return redirect_with(url_for("settings.show_team"), "member_removed")


@blueprint.page("/settings/audit", permission=Permission.MANAGE)
@blueprint.arguments(AuditQuery(), location="query")
def show_audit(query: dict[str, Any]) -> Response:
    """Show who changed what in the workspace."""
    workspace = store.get_workspace(current_principal(), current_principal().current_id)
    entries = audit.find_entries(workspace, query)
    page = lists.read_page(entries, (AuditEntry.created_at, AuditEntry.seq), query)
    return render("settings_audit.html", tab="audit", page=page)


@blueprint.page("/workspaces", methods=["POST"], permission=Permission.ACCOUNT)
def create_workspace() -> Response:
    """Make a workspace, which the account owns."""
    form = read_form(WorkspaceIn())
    if form.errors:
        return _show_team(form)
    with writing():
        workspace = store.add_workspace(current_principal(), form.values["name"], form.values.get("slug"))
        slug = workspace.slug
    return redirect_with(url_for("settings.show_team", workspace=slug), "workspace_created")


def _refuse_form_of_other(account_id: str | None) -> None:
    """Raise 409 for a form that was shown to another account, which has signed out in another tab since then."""
    user = accounts.get_user(current_principal().user_id)
    if account_id not in (None, user.id):
        text = f"You are signed in as {user.name} ({user.email}), and this form was another account's. Nothing changed."
        raise Problem(409, text, "other_account")


@throttle.limit_password_failures
def _change_password(values: dict[str, str]) -> None:
    user = accounts.get_user(current_principal().user_id)
    with hashing.place():
        changed = hashing.run(passwords.replace, user.password_hash, values["currentPassword"], values["newPassword"])
    if changed is None:
        raise Problem(401, "This is not your current password.", "wrong_password")
    with writing():
        if not accounts.set_password_hash(user, changed):
            raise Problem(401, "This is not your current password any more.", "wrong_password")
        accounts.remove_reset(user.id)
        accounts.revoke_tokens(user.id)


def _show_account(form: Form, status: int = 200) -> Response:
    page = render("settings_account.html", tab="account", sent=form.sent, errors=form.errors)
    page.status_code = 400 if form.errors and status == 200 else status
    return page


def _show_keys(form: Form, secret: str | None = None) -> Response:
    keys = accounts.list_keys(current_principal().user_id)
    page = render(
        "settings_keys.html",
        tab="keys",
        sent=form.sent,
        errors=form.errors,
        keys=keys,
        secret=secret,
        scopes=SCOPES,
        now=clock.now(),
    )
    page.status_code = 400 if form.errors else 200
    return page


def _show_team(form: Form, link: str | None = None) -> Response:
    principal = current_principal()
    workspace = store.get_workspace(principal, principal.current_id)
    invitations = store.list_invitations(workspace) if is_owner(principal, workspace.id) else ()
    page = render(
        "settings_team.html",
        tab="team",
        sent=form.sent,
        errors=form.errors,
        members=store.list_members(workspace),
        invitations=invitations,
        invitation_link=link,
        roles=ROLES,
        is_personal=workspace.personal_user_id is not None,
    )
    page.status_code = 400 if form.errors else 200
    return page
