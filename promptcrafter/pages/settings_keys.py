"""Settings: the API keys of a visitor."""

from flask import request, url_for
from werkzeug.wrappers import Response

from promptcrafter import clock
from promptcrafter.auth import store as accounts
from promptcrafter.auth import throttle
from promptcrafter.database.transactions import writing
from promptcrafter.pages.blueprint import PageBlueprint
from promptcrafter.pages.forms import Form, read_form
from promptcrafter.pages.notices import redirect_with
from promptcrafter.pages.rendering import render
from promptcrafter.permissions import Permission
from promptcrafter.problems import Invalid
from promptcrafter.prompts import store as prompts
from promptcrafter.prompts import version_store
from promptcrafter.workspaces import key_store, store
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.schemas import KeyIn

blueprint = PageBlueprint("settings_keys", __name__)
# What each scope allows, the one that most programs need first
_SCOPES = {
    "ingest": "log outputs, runs and scores; see nothing",
    "read": "see everything and fetch prompts; change nothing",
    "write": "read and ingest, and whatever else an editor may do",
    "admin": "everything that your role allows",
}
_CAN_LOG = frozenset(("ingest", "write", "admin"))  # the scopes that allow `POST /logs`


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
    converted = {"scopes": scopes} if scopes else {}
    form = read_form(KeyIn(), **converted)
    if not scopes:  # the API takes a key without scopes for one that may do everything: a form says that by `admin`
        form = Form(form.sent, errors={**form.errors, "scopes": ["choose what the key may do"]})
    if form.errors:
        return _show_keys(form)
    values = {name: value for name, value in form.values.items() if name != "workspace"}
    try:
        with writing():
            accounts.lock_account(principal.user_id)
            if "workspace" in form.values:
                values["workspace_id"] = store.lock_workspace(principal, form.values["workspace"]).id
            _, secret = key_store.add_key(principal, values)
    except Invalid as problem:  # a time that has passed
        return _show_keys(Form(form.sent, errors=problem.details or {}))
    return _show_keys(Form({}), secret=secret, can_log=not _CAN_LOG.isdisjoint(scopes))


@blueprint.page("/settings/keys/<key_id>/revoke", methods=["POST"], permission=Permission.ACCOUNT)
def revoke_key(key_id: str) -> Response:
    """Revoke an API key of the account."""
    principal = current_principal()
    with writing():
        key_store.note_key(principal, "key.revoke", accounts.remove_key(principal.user_id, key_id))
    return redirect_with(url_for("settings_keys.list_keys"), "key_revoked")


def _show_keys(form: Form, secret: str | None = None, can_log: bool = False) -> Response:
    principal = current_principal()
    keys = accounts.list_keys(principal.user_id)
    example = version_store.get_changed_last_version(principal) if secret else None
    page = render(
        "settings_keys.html",
        tab="keys",
        sent=form.sent,
        errors=form.errors,
        keys=keys,
        secret=secret,
        can_log=can_log,
        example=example,
        title=prompts.get_titles([example.prompt_id]).get(example.prompt_id) if example else None,
        chosen=request.form.getlist("scopes") if form.errors else ("ingest",),
        scopes=_SCOPES,
        now=clock.now(),
    )
    page.status_code = 400 if form.errors else 200
    return page
