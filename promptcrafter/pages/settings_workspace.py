"""Settings: the workspace itself, another one, and the end of this one."""

from flask import request, url_for
from werkzeug.wrappers import Response

from promptcrafter.database.transactions import write_until_done, writing
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import Form, join_errors, read_form, read_words
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid, Problem
from promptcrafter.workspaces import member_store, quota, store
from promptcrafter.workspaces.account_changes import change_account
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.principal import is_owner
from promptcrafter.workspaces.schemas import WorkspaceIn, WorkspacePatch

blueprint = PageBlueprint("settings_workspace", __name__)


@blueprint.page("/settings/workspace")
def show_workspace() -> Response:
    """Show the workspace: its name, slug and protected labels, and for owners what it stores."""
    return _show_workspace(Form({}))


@blueprint.page("/settings/workspace", methods=["POST"], permission=Permission.MANAGE)
def save_workspace() -> Response:
    """Change the name, the slug or the protected labels."""
    principal = current_principal()
    form = read_form(WorkspacePatch(), protectedLabels=read_words("protectedLabels"))
    if form.errors:
        return _show_workspace(form)
    try:
        with writing():
            workspace = store.lock_workspace(principal, principal.current_id)
            store.change_workspace(principal, workspace, form.values)
            slug = workspace.slug
    except Problem as problem:
        if problem.code != "slug_taken":
            raise
        return _show_workspace(Form(form.sent, errors={"slug": [problem.message]}), problem.status)
    return redirect_with(url_for("settings_workspace.show_workspace", workspace=slug), "workspace_saved")


@blueprint.page("/settings/workspace/first", methods=["POST"], permission=Permission.ACCOUNT)
def open_first() -> Response:
    """Make the workspace the account's default one."""
    principal = current_principal()
    change_account(principal, {"defaultWorkspaceId": principal.current_id})
    return redirect_with(url_for("settings_workspace.show_workspace"), "opens_first")


@blueprint.page("/settings/workspace/delete", permission=Permission.MANAGE)
def show_deletion() -> Response:
    """Ask whether to delete the workspace."""
    store.get_workspace(current_principal(), current_principal().current_id)  # refuses who is no owner
    return render("workspace_delete.html", sent={}, errors={})


@blueprint.page("/settings/workspace/delete", methods=["POST"], permission=Permission.MANAGE)
def remove_workspace() -> Response:
    """Delete the workspace and all that it has, if its slug is typed in."""
    principal, confirmed = current_principal(), request.form.get("confirm", "").strip()

    def remove() -> None:
        with writing():
            store.remove_workspace(store.lock_workspace(principal, principal.current_id), confirmed)

    try:
        write_until_done(remove)
    except Invalid as problem:
        page = render("workspace_delete.html", sent={"confirm": confirmed}, errors=problem.details)
        page.status_code = problem.status
        return page
    return redirect_with(url_for("home.find_home"), "workspace_deleted")


@blueprint.page("/workspaces/new")
def show_new() -> Response:
    """Show the form of another workspace."""
    return render("workspace_new.html", sent={}, errors={})


@blueprint.page("/workspaces", methods=["POST"], permission=Permission.ACCOUNT)
def create_workspace() -> Response:
    """Make a workspace, which the account owns, and the default one of the account if the form says so."""
    principal = current_principal()
    form = read_form(WorkspaceIn())
    errors, status = form.errors, 400
    if not errors:
        try:
            with writing():
                workspace = store.add_workspace(principal, form.values["name"], form.values.get("slug"))
                slug = workspace.slug
                if form.sent.get("opensFirst"):
                    member_store.set_default(principal.user_id, workspace.id)
            return redirect_with(url_for("settings_team.show_team", workspace=slug), "workspace_created")
        except Problem as problem:
            if problem.code != "slug_taken":
                raise
            errors, status = {"slug": [problem.message]}, problem.status
    page = render("workspace_new.html", sent=form.sent, errors=errors)
    page.status_code = status
    return page


def _show_workspace(form: Form, status: int = 200) -> Response:
    principal = current_principal()
    workspace = store.get_workspace(principal, principal.current_id)
    use = quota.describe(workspace.id) if is_owner(principal, workspace.id) else {}
    shown = {
        "name": workspace.name,
        "slug": workspace.slug,
        "protectedLabels": "\n".join(workspace.protected_labels),
        **form.sent,
    }
    page = render(
        "settings_workspace.html",
        tab="workspace",
        sent=shown,
        errors=join_errors(form.errors, "protectedLabels"),
        use=use,
        is_default=member_store.get_default(principal.user_id) == workspace.id,
        role=principal.memberships[workspace.id].role,
        protected=workspace.protected_labels,
    )
    page.status_code = 400 if form.errors and status == 200 else status
    return page
