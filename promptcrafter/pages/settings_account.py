"""Settings: the account of a visitor."""

from flask import request, url_for
from werkzeug.wrappers import Response

from promptcrafter.auth import password_changes, throttle
from promptcrafter.auth import store as accounts
from promptcrafter.auth.schemas import PasswordIn
from promptcrafter.pages import sessions
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import Form, read_form
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid, Problem
from promptcrafter.workspaces import account_store, member_store
from promptcrafter.workspaces.account_changes import change_account, delete_account
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.schemas import AccountPatch, DeletionIn

blueprint = PageBlueprint("settings_account", __name__)
_WRONG_PASSWORD = {"currentPassword": ["this is not your current password"]}
_FIELDS = {"email_taken": "email", "wrong_password": "currentPassword"}  # that an error is about, by its code


@blueprint.page("/settings/account")
def show_account() -> Response:
    """Show the account: its name, address, default workspace and password."""
    return _show_account(Form({}))


@blueprint.page("/settings/account", methods=["POST"], permission=Permission.ACCOUNT)
def save_account() -> Response:
    """Change the account's name and its default workspace."""
    form = read_form(AccountPatch(only=("name", "defaultWorkspaceId")))
    _refuse_form_of_other(form.sent.get("account"))
    if form.errors:
        return _show_account(form)
    change_account(current_principal(), form.values)
    return redirect_with(url_for("settings_account.show_account"), "account_saved")


@blueprint.page("/settings/email", methods=["POST"], permission=Permission.CREDENTIALS)
def change_email() -> Response:
    """Change the address by which the account signs in."""
    form = read_form(AccountPatch(only=("email", "currentPassword")))
    missing = {name: ["is required"] for name in ("email", "currentPassword") if not form.sent.get(name)}
    if form.errors or missing:
        return _show_account(Form(form.sent, errors={**form.errors, **missing}), part="email")
    try:
        throttle.limit_password_failures(change_account)(current_principal(), form.values)
    except Problem as problem:
        return _show_refused(form, problem, "email")
    return redirect_with(url_for("settings_account.show_account"), "email_changed")


@blueprint.page("/settings/password", methods=["POST"], permission=Permission.CREDENTIALS)
def save_password() -> Response:
    """Change the password, which ends all other sessions, and begin a new one here."""
    form = read_form(PasswordIn())
    if form.errors:
        return _show_account(form, part="password")
    user_id, values = current_principal().user_id, form.values
    try:
        change = throttle.limit_password_failures(password_changes.change_password)
        change(user_id, values["currentPassword"], values["newPassword"])
    except Problem as problem:
        return _show_refused(form, problem, "password")
    response = redirect_with(url_for("settings_account.show_account"), "password_changed")
    sessions.start(response, accounts.get_user(user_id))
    return response


@blueprint.page("/settings/account/delete")
def show_deletion() -> Response:
    """Ask whether to delete the account, and say what goes and what stays."""
    return _show_deletion(Form({}))


@blueprint.page("/settings/account/delete", methods=["POST"], permission=Permission.CREDENTIALS)
def remove_account() -> Response:
    """Delete the account."""
    form = read_form(DeletionIn(), anonymise="anonymise" in request.form)
    if form.errors:
        return _show_deletion(form)
    try:
        delete = throttle.limit_password_failures(delete_account)
        delete(current_principal(), form.values["currentPassword"], anonymise=form.values["anonymise"])
    except Problem as problem:
        if problem.code not in _FIELDS:
            raise
        return _show_deletion(Form(form.sent, errors=_WRONG_PASSWORD), problem.status)
    response = redirect_with(url_for("sign_in.show_sign_in"), "account_deleted")
    sessions.end(response)
    return response


def _refuse_form_of_other(account_id: str | None) -> None:
    """Raise 409 for a form that was shown to another account, which has signed out in another tab since then."""
    user = accounts.get_user(current_principal().user_id)
    if account_id not in (None, user.id):
        text = f"You are signed in as {user.name} ({user.email}), and this form was another account's. Nothing changed."
        raise Problem(409, text, "other_account")


def _show_refused(form: Form, problem: Problem, part: str) -> Response:
    """Show the account with an error beside the field that it is about. Raises any other error again."""
    field = _FIELDS.get(problem.code)
    if field is None and not isinstance(problem, Invalid):
        raise problem
    text = "somebody has an account with this e-mail" if field == "email" else problem.message
    errors = _WRONG_PASSWORD if field == "currentPassword" else {field or "": [text]}
    return _show_account(Form(form.sent, errors=errors), problem.status, part=part)


def _show_account(form: Form, status: int = 200, part: str = "account") -> Response:
    page = render(
        "settings_account.html",
        tab="account",
        sent=form.sent,
        errors=form.errors,
        part=part,
        default_id=member_store.get_default(current_principal().user_id),
    )
    page.status_code = 400 if form.errors and status == 200 else status
    return page


def _show_deletion(form: Form, status: int = 200) -> Response:
    user_id = current_principal().user_id
    page = render(
        "account_delete.html",
        sent=form.sent,
        errors=form.errors,
        lone=account_store.list_lone_workspaces(user_id),
        owned=account_store.get_sole_ownerships(user_id),
    )
    page.status_code = 400 if form.errors and status == 200 else status
    return page
