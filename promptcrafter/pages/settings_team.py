"""Settings: the members of a workspace and its invitations."""

from flask import url_for
from werkzeug.wrappers import Response

from promptcrafter import clock
from promptcrafter.database.transactions import write_until_done, writing
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import Form, read_form
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import ROLES, Permission
from promptcrafter.workspaces import invitation_store, key_store, member_store, store
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.principal import is_owner, refuse_non_owner
from promptcrafter.workspaces.schemas import InvitationIn, MemberPatch

blueprint = PageBlueprint("settings_team", __name__)


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
        _, token = invitation_store.add_invitation(
            principal, locked, form.values["role"], form.values["expires_in_days"]
        )
    return _show_team(Form({}), link=f"{url_for('sign_in.show_invitation', _external=True)}#{token}")


@blueprint.page("/settings/team/invitations/<invitation_id>/revoke", methods=["POST"], permission=Permission.MANAGE)
def revoke_invitation(invitation_id: str) -> Response:
    """Revoke an invitation."""
    principal = current_principal()
    with writing():
        invitation_store.remove_invitation(
            principal, store.lock_workspace(principal, principal.current_id), invitation_id
        )
    return redirect_with(url_for("settings_team.show_team"), "invitation_revoked")


@blueprint.page("/settings/team/keys/<key_id>/revoke", methods=["POST"], permission=Permission.MANAGE)
def revoke_member_key(key_id: str) -> Response:
    """Revoke an API key of any member that is bound to the workspace."""
    principal = current_principal()
    with writing():
        key_store.remove_key(principal, store.lock_workspace(principal, principal.current_id), key_id)
    return redirect_with(url_for("settings_team.show_team"), "key_revoked")


@blueprint.page("/settings/team/<user_id>", methods=["POST"], permission=Permission.MANAGE)
def change_member(user_id: str) -> Response:
    """Change the role of a member."""
    principal = current_principal()
    form = read_form(MemberPatch())
    if form.errors:
        return _show_team(form)
    with writing():
        member_store.set_role(
            principal, store.lock_workspace(principal, principal.current_id), user_id, form.values["role"]
        )
    return redirect_with(url_for("settings_team.show_team"), "role_changed")


@blueprint.page("/settings/team/<user_id>/remove", methods=["POST"], permission=Permission.LEAVE)
def remove_member(user_id: str) -> Response:
    """Leave the workspace, or remove a member."""
    principal = current_principal()

    def remove() -> None:
        with writing():
            locked = store.lock_workspace(principal, principal.current_id)
            if user_id != principal.user_id:
                refuse_non_owner(principal, locked.id)
            member_store.remove_member(principal, locked, user_id)

    write_until_done(remove)
    if user_id == principal.user_id:
        return redirect_with(url_for("home.find_home"), "left")
    return redirect_with(url_for("settings_team.show_team"), "member_removed")


def _show_team(form: Form, link: str | None = None) -> Response:
    principal = current_principal()
    workspace = store.get_workspace(principal, principal.current_id)
    may_manage = is_owner(principal, workspace.id)
    page = render(
        "settings_team.html",
        tab="team",
        sent=form.sent,
        errors=form.errors,
        members=member_store.list_members(workspace),
        invitations=invitation_store.list_invitations(workspace) if may_manage else (),
        keys=key_store.list_keys(workspace) if may_manage else (),
        now=clock.now(),
        invitation_link=link,
        roles=ROLES,
        is_personal=workspace.personal_user_id is not None,
    )
    page.status_code = 400 if form.errors else 200
    return page
