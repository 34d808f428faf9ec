"""The pages to sign in, sign up and sign out."""

from typing import Any

from flask import current_app, redirect, request, url_for
from marshmallow import Schema
from werkzeug.wrappers import Response

from promptcrafter.auth import password_changes, throttle
from promptcrafter.auth import store as accounts
from promptcrafter.auth.credentials import current_user_id
from promptcrafter.auth.log_in import verify_log_in
from promptcrafter.auth.models import User
from promptcrafter.auth.schemas import TOKEN_MAX, LoginIn, ResetIn, SignupIn
from promptcrafter.database.transactions import writing
from promptcrafter.http.fields import Text
from promptcrafter.pages import sessions
from promptcrafter.pages.blueprint import ROOT, PageBlueprint
from promptcrafter.pages.forms import read_fields, read_form
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import Permission
from promptcrafter.problems import Problem
from promptcrafter.workspaces import invitation_store
from promptcrafter.workspaces.authentication import current_principal, find_signed_in, new_principal
from promptcrafter.workspaces.invitation_store import ShownInvitation
from promptcrafter.workspaces.principal import Principal
from promptcrafter.workspaces.sign_up import create_account_in_workspace

blueprint = PageBlueprint("sign_in", __name__)
_TARGET_MAX = 2000  # characters of the path that a sign-in leads to
# What a form says of an error, in the words of the pages, and beside which field
_WRONG_CREDENTIALS = "The e-mail or the password is wrong."
_SIGN_UP_ERRORS = {
    "email_taken": ("email", "Somebody has an account with this e-mail."),
    "invitation_not_found": (
        "invitation",
        "This invitation is used, revoked, expired or unknown. Ask who sent it for another one.",
    ),
    "invitation_required": ("invitation", "This server takes sign-ups by invitation only: paste yours here."),
}


class _SignInQuery(Schema):
    """Where the sign-in leads to."""

    next = Text(maximum=_TARGET_MAX)


@blueprint.page_of_account("/sign-in", permission=Permission.PUBLIC)
@blueprint.arguments(_SignInQuery(), location="query")
def show_sign_in(query: dict[str, str]) -> Response:
    """Show the form to sign in; lead an account that is signed in already to where that leads."""
    target = query.get("next", "")
    if find_signed_in() is not None:
        return redirect(_find_target(target), 303)
    return _show_sign_in({"next": target}, {})


@blueprint.page_of_account("/sign-in", methods=["POST"], permission=Permission.PUBLIC)
def sign_in() -> Response:
    """Begin a session; for the button `show` of the sign-up only show the form, with the e-mail typed there."""
    fields = read_fields()
    if "show" in fields:  # by POST, so that the address is in no log and no history
        return _show_sign_in({name: fields[name] for name in ("email", "invitation") if name in fields}, {})
    form = read_form(LoginIn())
    if form.errors:
        return _show_sign_in(form.sent, form.errors, 400)
    try:
        user = _log_in(form.values)
    except Problem as problem:
        text = _WRONG_CREDENTIALS if problem.code == "wrong_credentials" else problem.message
        return _add_headers(_show_sign_in(form.sent, {"": [text]}, problem.status), problem)
    token = form.sent.get("invitation")
    if not token:
        return _begin(user, redirect(_find_target(form.sent.get("next", "")), 303))
    try:
        return _begin(user, _lead_to_joined(_accept(new_principal(user.id), token)))
    except Problem as problem:  # without the invitation, the form is that of a plain sign-in
        text = f"{problem.message} You can sign in without it."
        return _add_headers(_show_sign_in({"email": form.sent["email"]}, {"": [text]}, problem.status), problem)


@blueprint.page_of_account("/sign-up", permission=Permission.PUBLIC)
def show_sign_up() -> Response:
    """Show the form to make an account."""
    return _show_sign_up({}, {})


@blueprint.page_of_account("/sign-up", methods=["POST"], permission=Permission.PUBLIC)
def sign_up() -> Response:
    """Make an account and begin a session."""
    form = read_form(SignupIn())
    if form.errors:
        return _show_sign_up(form.sent, form.errors, 400)
    try:
        user, joined = _sign_up(form.values)
    except Problem as problem:
        field, text = _SIGN_UP_ERRORS.get(problem.code, ("", problem.message))
        is_taken = problem.code == "email_taken"
        return _add_headers(_show_sign_up(form.sent, {field: [text]}, problem.status, is_taken=is_taken), problem)
    return _begin(user, redirect(url_for("home.find_home"), 303) if joined is None else _lead_to_joined(joined))


@blueprint.page_of_account("/invitation", permission=Permission.PUBLIC)
def show_invitation() -> Response:
    """Take the token of an invitation, which stands behind the `#` of its link: no server logs that part of a URL."""
    return _show_invitation({}, {})


@blueprint.page_of_account("/invitation", methods=["POST"], permission=Permission.PUBLIC)
def take_invitation() -> Response:
    """Show what an invitation is for, and go on to the sign-in or the sign-up."""
    fields = read_fields()
    sent = {"invitation": fields.get("invitation", "").strip()[:TOKEN_MAX]}
    try:
        invitation = throttle.limit_logins(invitation_store.show_invitation)(sent["invitation"])
    except Problem as problem:
        if problem.status != 404:
            raise
        return _show_invitation(sent, {"invitation": [problem.message]}, status=problem.status)
    if "account" in fields:
        return _show_sign_in(sent, {}) if fields["account"] == "mine" else _show_sign_up(sent, {})
    return _show_invitation(sent, {}, invitation)


@blueprint.page_of_account("/invitation/accept", methods=["POST"], permission=Permission.ACCOUNT)
def accept_invitation() -> Response:
    """Accept an invitation with the account that is signed in."""
    token = read_fields().get("invitation", "")
    try:
        return _lead_to_joined(_accept(current_principal(), token))
    except Problem as problem:
        if problem.status not in (404, 409):
            raise
        return _show_invitation({"invitation": token}, {"invitation": [problem.message]}, status=problem.status)


@blueprint.page_of_account("/password-reset", permission=Permission.PUBLIC)
def show_reset() -> Response:
    """Take the secret for a forgotten password, which stands behind the `#` of its link."""
    return render("password_reset.html", sent={}, errors={})


@blueprint.page_of_account("/password-reset", methods=["POST"], permission=Permission.PUBLIC)
def take_reset() -> Response:
    """Set another password, and go on to the sign-in."""
    form = read_form(ResetIn())
    errors, status = form.errors, 400
    if not errors:
        try:
            throttle.limit_logins(password_changes.reset_password)(
                form.values["token"].strip(), form.values["newPassword"]
            )
            return redirect_with(url_for("sign_in.show_sign_in"), "password_reset")
        except Problem as problem:
            if problem.status != 404:
                raise
            errors, status = {"token": [problem.message]}, problem.status
    page = render("password_reset.html", sent=form.sent, errors=errors)
    page.status_code = status
    return page


@blueprint.page_of_account("/sign-out", methods=["POST"], permission=Permission.ACCOUNT)
def sign_out() -> Response:
    """End all sessions and tokens of the account."""
    with writing():
        accounts.revoke_tokens(current_user_id())
    response = redirect(url_for("sign_in.show_sign_in"), 303)
    sessions.end(response)
    return response


@throttle.limit_logins
@throttle.limit_login_failures
def _log_in(values: dict[str, Any]) -> User:
    return verify_log_in(values["email"], values["password"])


@throttle.limit_signups
def _sign_up(values: dict[str, Any]) -> tuple[User, str | None]:
    return create_account_in_workspace(values)


def _accept(principal: Principal, token: str) -> str:
    """Accept an invitation; return the slug of its workspace. Raises 404, and 409 for too many members."""
    with writing():
        return invitation_store.accept_invitation(principal, token[:TOKEN_MAX]).slug


def _lead_to_joined(slug: str) -> Response:
    """Return the redirect to the home of a workspace that the account has just joined."""
    return redirect_with(url_for("home.show_home", workspace=slug), "joined")


def _begin(user: User, response: Response) -> Response:
    """Return the first response of a session."""
    sessions.start(response, user)
    return response


def _find_target(target: str) -> str:
    return _own_path(target) or url_for("home.find_home")


def _own_path(target: str) -> str | None:
    """Return a path of the pages, with its query; None for anything else, which could lead to another server."""
    prefix = request.script_root + ROOT
    is_own = target == prefix or target.startswith((f"{prefix}/", f"{prefix}?"))
    is_safe = len(target) <= _TARGET_MAX and target.isprintable() and "\\" not in target
    return target if is_own and is_safe else None


def _add_headers(page: Response, problem: Problem) -> Response:
    """Return a page with the headers of the error that it shows, such as `Retry-After`."""
    page.headers.extend(problem.headers)
    return page


def _show_sign_in(sent: dict[str, str], errors: dict[str, list[str]], status: int = 200) -> Response:
    page = render(
        "sign_in.html",
        sent=sent,
        errors=errors,
        invitation=_find_invitation(sent),
        takes_signups=current_app.config["SIGNUP"] != "closed",
    )
    page.status_code = status
    return page


def _show_sign_up(
    sent: dict[str, str], errors: dict[str, list[str]], status: int = 200, *, is_taken: bool = False
) -> Response:
    page = render(
        "sign_up.html",
        sent=sent,
        errors=errors,
        invitation=_find_invitation(sent),
        is_taken=is_taken,
        signup=current_app.config["SIGNUP"],
    )
    page.status_code = status
    return page


def _show_invitation(
    sent: dict[str, str],
    errors: dict[str, list[str]],
    invitation: ShownInvitation | None = None,
    status: int = 200,
) -> Response:
    user_id = find_signed_in() if invitation or errors else None
    page = render(
        "invitation.html",
        sent=sent,
        errors=errors,
        invitation=invitation,
        signed_in=accounts.get_user(user_id) if user_id else None,
        takes_signups=current_app.config["SIGNUP"] != "closed",
    )
    page.status_code = status
    return page


def _find_invitation(sent: dict[str, str]) -> ShownInvitation | None:
    """Return what the invitation of a form is for; None without one, or for one that is good no more."""
    if not sent.get("invitation"):
        return None
    try:
        return invitation_store.show_invitation(sent["invitation"][:TOKEN_MAX])
    except Problem:
        return None
