"""Settings: the account of a visitor."""

from flask import url_for
from werkzeug.wrappers import Response

from promptcrafter.auth import hashing, passwords, throttle
from promptcrafter.auth import store as accounts
from promptcrafter.auth.schemas import PasswordIn
from promptcrafter.database.transactions import writing
from promptcrafter.pages import sessions
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import Form, read_form
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.workspaces import store
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.schemas import AccountPatch

blueprint = PageBlueprint("settings_account", __name__)


@blueprint.page("/settings/account")
def show_account() -> Response:
    """Show the account's name and password."""
    return _show_account(Form({}))


@blueprint.page("/settings/account", methods=["POST"], permission=Permission.ACCOUNT)
def change_account() -> Response:
    """Change the account's name."""
    form = read_form(AccountPatch())
    if form.errors:
        return _show_account(form)
    with writing():
        user = store.lock_account(current_principal().user_id)
        accounts.change_user(user, {name: form.values[name] for name in ("name",) if name in form.values})
    return redirect_with(url_for("settings_account.show_account"), "account_saved")


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
    response = redirect_with(url_for("settings_account.show_account"), "password_changed")
    sessions.start(response, accounts.get_user(current_principal().user_id))
    return response


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
