"""The commands `user` and `key`: accounts, their passwords and their API keys."""

import sys
from typing import Any

import click
from flask import current_app

from promptcrafter import clock, jsonio
from promptcrafter.auth import passwords, store
from promptcrafter.auth.models import User
from promptcrafter.auth.schemas import AccountOut, KeyOut, SignupIn
from promptcrafter.cli.commands import Group, Refusal, naming_options, require_terminal, say, show_table
from promptcrafter.cli.workspaces import describe_contents
from promptcrafter.database.transactions import write_until_done, writing
from promptcrafter.http.schemas import load
from promptcrafter.permissions import SCOPES, Permission
from promptcrafter.workspaces import account_store, key_store, member_store
from promptcrafter.workspaces import store as workspaces
from promptcrafter.workspaces.principal import at_home
from promptcrafter.workspaces.schemas import KeyIn

_user_schema = AccountOut()
_key_schema = KeyOut()
_USER_COLUMNS = {"_id": "ID", "email": "EMAIL", "name": "NAME", "createdAt": "CREATED", "disabledAt": "DISABLED"}
_TWIN_COLUMNS = {"_id": "ID", "email": "EMAIL", "spelling": "SPELLING", "name": "NAME", "createdAt": "CREATED"}
_KEY_COLUMNS = {
    **{"_id": "ID", "name": "NAME", "prefix": "PREFIX", "createdAt": "CREATED", "expiresAt": "EXPIRES"},
    **{"workspaceId": "WORKSPACE", "scopes": "SCOPES", "lastUsedAt": "LAST USED"},
}
_password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
_json = click.option("--json", "as_json", is_flag=True, help="Write a JSON array instead of a table.")


@click.group(cls=Group)
def user() -> None:
    """Add, list, disable and delete accounts, reset their passwords."""


@user.command("add")
@click.argument("email")
@click.option("--name", required=True, help="What to call its owner.")
@_password_stdin
def add_user(email: str, name: str, password_stdin: bool) -> None:
    """Create an account, also while sign-up is closed, and write its id."""
    given = {"email": email, "name": name, "password": _read_password(password_stdin)}
    with naming_options({"email": "EMAIL", "name": "--name"}):
        values = load(SignupIn(), given)
    password_hash = passwords.hash_password(values["password"])
    with writing():
        added = account_store.add_account(values["name"], values["email"], password_hash)
    say(f"Added the account of {email}.")
    click.echo(added.id)


@user.command("list")
@_json
def list_users(as_json: bool) -> None:
    """List all accounts, oldest first."""
    rows = [_user_schema.dump(account) for account in store.list_users()]
    _show(rows, _USER_COLUMNS, as_json)


@user.command("twins")
@_json
def list_twins(as_json: bool) -> None:
    """List accounts whose addresses look the same, those that do one after another.

    No new ones can be made. Each is found by exactly its own spelling, which SPELLING shows with escapes.
    """
    rows = [
        {**_user_schema.dump(account), "spelling": account.email.encode("unicode_escape").decode()}
        for group in store.list_twins()
        for account in group
    ]
    _show(rows, _TWIN_COLUMNS, as_json)


@user.command("reset-password")
@click.argument("email")
@_password_stdin
def reset_password(email: str, password_stdin: bool) -> None:
    """Set another password; every token issued before is dead."""
    store.get_by_email(email)  # refuse an unknown one before a password is typed
    values = load(SignupIn(only=("password",)), {"password": _read_password(password_stdin)})
    password_hash = passwords.hash_password(values["password"])
    with writing():
        account = store.lock_by_email(email)
        store.reset_password(account.id, password_hash)
    say(f"{account.email} has another password, and no token any more. API keys stay: see key list.")


@user.command("reset-link")
@click.argument("email")
def add_reset(email: str) -> None:
    """Make a one-time secret for a forgotten password and write it: it is shown this once.

    It replaces the one before. The password stays until the secret is used.
    """
    with writing():
        account = store.lock_by_email(email)
        if account.disabled_since is not None:
            raise Refusal(f"{account.email} is disabled: see user enable.")
        secret, expires_at = store.add_reset(account.id)
    say(f"Made a secret for {account.email}, good once until {clock.to_text(expires_at)}. Its owner sets another")
    say("password on this page, with the address of your server and the secret:")
    url = current_app.config["PUBLIC_URL"]
    say(f"  {url}/app/password-reset#THE-SECRET")
    say("or by this command:")
    say(f"  curl {url}/auth/password/reset -H 'Content-Type: application/json' \\")
    say("""    -d '{"token": "THE-SECRET", "newPassword": "…"}'""")
    say("The secret is shown this once:")
    click.echo(secret)


@user.command("delete")
@click.argument("email")
@click.option("--anonymise", is_flag=True, help="What it made in other workspaces loses its name, too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete_user(email: str, anonymise: bool, yes: bool) -> None:
    """Delete an account with its personal workspace, API keys and memberships.

    What it made in other workspaces stays.
    """
    account = store.get_by_email(email)
    if owned := account_store.get_sole_ownerships(account.id):
        names = ", ".join(workspace.slug for workspace in owned)
        raise Refusal(f"{account.email} is the only owner of {names}: make another member one by workspace set-role.")
    address = account.email
    contents = _describe_own(account)
    if not yes:
        require_terminal("a confirmation", "--yes")
        say(f"This deletes the account of {address} and all that is in {contents}.")
        click.confirm("Delete it?", abort=True, err=True)

    def remove() -> None:
        with writing():
            account_store.remove_account(at_home(store.lock_by_email(address).id), anonymise=anonymise)

    write_until_done(remove)
    say(f"Deleted the account of {address} and all that was in {contents}.")


@user.command("disable")
@click.argument("email")
def disable_user(email: str) -> None:
    """Disable an account at once, with its API keys; its data are kept."""
    with writing():
        account = store.lock_by_email(email)
        changed = store.disable(account.id)
    say(f"{account.email} is disabled." if changed else f"{account.email} was disabled already.")
    if owned := account_store.get_sole_ownerships(account.id):
        names = ", ".join(workspace.slug for workspace in owned)
        say(f"It is the only owner of {names}: to make another member one, see workspace set-role.")


@user.command("enable")
@click.argument("email")
def enable_user(email: str) -> None:
    """Enable a disabled account and its API keys again."""
    with writing():
        account = store.lock_by_email(email)
        changed = store.enable(account.id)
    done = f"{account.email} is enabled, and its API keys are good again."
    say(done if changed else f"{account.email} was not disabled.")


@click.group(cls=Group)
def key() -> None:
    """Make, list and revoke API keys."""


@key.command("add")
@click.argument("email")
@click.argument("name")
@click.option("--expires", metavar="DATE", help="The last moment, such as 2027-01-31 (0:00 UTC); without it, never.")
@click.option("--workspace", metavar="WORKSPACE", help="The one workspace that it may access; without it, all.")
@click.option("--scope", "scopes", metavar="SCOPE", multiple=True, help=f"{', '.join(SCOPES)}; without it, all.")
def add_key(email: str, name: str, expires: str | None, workspace: str | None, scopes: tuple[str, ...]) -> None:
    """Make an API key for an account and write it: it is shown this once."""
    restrictions = {"workspace": workspace, "scopes": list(scopes) or None}
    given = {field: value for field, value in restrictions.items() if value is not None}
    options = {"name": "NAME", "expiresAt": "--expires", "workspace": "--workspace", "scopes": "--scope"}
    with naming_options(options):
        values = load(KeyIn(), {"name": name, "expiresAt": expires, **given})
        with writing():
            account = store.lock_by_email(email)
            if "workspace" in values:
                bound_to = workspaces.lock_any_workspace(values.pop("workspace"))
                values["workspace_id"] = member_store.act_as_member(bound_to, account, Permission.READ).workspace_id
            added, text = key_store.add_key(at_home(account.id), values)
    until = f"until {clock.to_text(added.expires_at)}" if added.expires_at else "until it is revoked"
    say(f"Made the key {added.id} for {account.email}, good {until}. Nobody will see it again:")
    click.echo(text)


@key.command("list")
@click.argument("email")
@_json
def list_keys(email: str, as_json: bool) -> None:
    """List the API keys of an account that have not been revoked, oldest first."""
    rows = [_key_schema.dump(api_key) for api_key in store.list_keys(store.get_by_email(email).id)]
    if not as_json:
        slugs = workspaces.list_slugs({row["workspaceId"] for row in rows if row["workspaceId"]})
        rows = [
            {**row, "workspaceId": slugs.get(row["workspaceId"], "all"), "scopes": _join(row["scopes"])} for row in rows
        ]
    _show(rows, _KEY_COLUMNS, as_json)


@key.command("revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """Revoke an API key; it is dead at once."""
    with writing():
        key = store.remove_key_of_any_user(key_id)
        key_store.note_key(at_home(""), "key.revoke", key)
    say(f"Revoked {key_id}.")


COMMANDS = (user, key)


def _show(rows: list[dict[str, Any]], columns: dict[str, str], as_json: bool) -> None:
    """Write rows to standard output, as JSON or as a table of these fields under these headings."""
    if as_json:
        click.echo(jsonio.dumps(rows))
    else:
        show_table(list(columns.values()), [[row[name] or "" for name in columns] for row in rows])


def _join(scopes: list[str] | None) -> str:
    return "all" if scopes is None else ", ".join(scopes)


def _describe_own(account: User) -> str:
    """Return the workspaces of which an account is the only member, and what is in them, as text."""
    own = account_store.list_lone_workspaces(account.id)
    names = ", ".join(workspace.slug for workspace in own)
    return f"{names}: {describe_contents(own)}"


def _read_password(from_stdin: bool) -> str:
    """Return a password from standard input, or from the terminal without echo. Raises Refusal without a terminal."""
    if from_stdin:
        return sys.stdin.buffer.read().decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
    require_terminal("the password", "--password-stdin")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password
