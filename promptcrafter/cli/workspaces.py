"""The commands `workspace`: workspaces, their members and roles. Also the option `--workspace` of other commands."""

from collections.abc import Sequence
from typing import Any, cast

import click

from promptcrafter import jsonio
from promptcrafter.auth.store import lock_by_email
from promptcrafter.cli.commands import Group, Refusal, describe_rows, naming_options, require_terminal, say, show_table
from promptcrafter.database import usage
from promptcrafter.database.session import read_snapshot
from promptcrafter.database.transactions import write_until_done, writing
from promptcrafter.http.schemas import load
from promptcrafter.permissions import ROLES, Role
from promptcrafter.transfer.store import count_rows
from promptcrafter.workspaces import account_store, member_store, quota, store
from promptcrafter.workspaces.models import Workspace
from promptcrafter.workspaces.principal import Principal, at_home, in_workspace
from promptcrafter.workspaces.schemas import MemberOut, WorkspaceIn

_COLUMNS = ("ID", "SLUG", "NAME", "PERSONAL", "MEMBERS", "OWNERS")
_MEMBER_COLUMNS = {
    "userId": "ID",
    "email": "EMAIL",
    "name": "NAME",
    "role": "ROLE",
    "joinedAt": "JOINED",
    "disabled": "DISABLED",
}
_OWNERS_SHOWN = 3
_member_schema = MemberOut()
_json = click.option("--json", "as_json", is_flag=True, help="Write a JSON array instead of a table.")
workspace_option = click.option("--workspace", metavar="WORKSPACE", help="Only this workspace: its id or slug.")


@click.group(cls=Group)
def workspace() -> None:
    """Add, list and delete workspaces; show and change the roles of members."""


@workspace.command("add")
@click.argument("name")
@click.option("--owner", "email", metavar="EMAIL", required=True, help="The account that owns it.")
@click.option("--slug", help="1 to 64 lower-case letters, digits and hyphens. By default made from the name.")
def add_workspace(name: str, email: str, slug: str | None) -> None:
    """Create a workspace and write its id."""
    given = {"name": name} if slug is None else {"name": name, "slug": slug}
    with naming_options({"name": "NAME", "slug": "--slug"}):
        values = load(WorkspaceIn(), given)
    with writing():
        owner = lock_by_email(email)
        added = store.add_workspace(at_home(owner.id), values["name"], values.get("slug"))
    say(f"Added the workspace {added.slug}, whose owner is {owner.email}.")
    click.echo(added.id)


@workspace.command("list")
@_json
def list_workspaces(as_json: bool) -> None:
    """List all workspaces, oldest first; if there is a limit, with how many bytes they store."""
    most, rows = quota.limit(), store.list_all_workspaces()
    used = {} if most is None else usage.list_bytes()  # without entries until a service has counted
    if as_json:
        uses = [{"usedBytes": used.get(row["_id"], 0), "maxBytes": most} if used else {} for row in rows]
        click.echo(jsonio.dumps([{**row, **use} for row, use in zip(rows, uses, strict=True)]))
    elif most is None:
        show_table(_COLUMNS, [_to_cells(row) for row in rows])
    else:
        cells = [[*_to_cells(row), f"{used.get(row['_id'], 0):,}" if used else "-"] for row in rows]
        show_table([*_COLUMNS, f"BYTES OF {most:,}"], cells)


@workspace.command("members")
@click.argument("reference", metavar="WORKSPACE")
@_json
def list_members(reference: str, as_json: bool) -> None:
    """List the members of a workspace, given by its id or slug."""
    rows = [_member_schema.dump(member) for member in member_store.list_members(store.get_any_workspace(reference))]
    if as_json:
        click.echo(jsonio.dumps(rows))
    else:
        show_table(list(_MEMBER_COLUMNS.values()), [_to_member_cells(row) for row in rows])


@workspace.command("set-role")
@click.argument("reference", metavar="WORKSPACE")
@click.argument("email")
@click.argument("role", type=click.Choice(ROLES))
def set_role(reference: str, email: str, role: str) -> None:
    """Give an account a role in a workspace; it becomes a member if it is none."""
    with writing():
        account = lock_by_email(email)
        found = store.lock_any_workspace(reference)
        member_store.put_member(in_workspace("", found.id), found, account.id, cast(Role, role))
    say(f"The role of {account.email} in {found.slug} is {role}.")


@workspace.command("delete")
@click.argument("reference", metavar="WORKSPACE")
@click.option("--confirm", "confirmed", metavar="SLUG", help="Its slug; without it, the command asks.")
def delete_workspace(reference: str, confirmed: str | None) -> None:
    """Delete a workspace with everything that it has. A personal one is deleted with its account only."""
    if confirmed is None:
        require_terminal("the slug", "--confirm SLUG")
        found = store.get_any_workspace(reference)
        say(f"This deletes the workspace {found.slug}: {describe_contents([found])}.")
        confirmed = click.prompt("Its slug, to confirm", err=True)
    slug = confirmed  # or else it is refused

    def remove() -> None:
        with writing():
            store.remove_workspace(store.lock_any_workspace(reference), slug)

    write_until_done(remove)
    say(f"Deleted the workspace {slug}.")


COMMANDS = (workspace,)


def list_principals(email: str | None, reference: str | None) -> list[Principal]:
    """Return the principals of a command that takes `--user`, for a personal workspace, or `--workspace`.

    Without either there is one for each workspace. Raises Refusal for both.
    """
    if reference is None:
        return account_store.list_principals(email)
    if email is not None:
        raise Refusal("--user means the personal workspace of an account: use it or --workspace, not both.")
    return [in_workspace("", store.get_any_workspace(reference).id)]


def describe_contents(workspaces: Sequence[Workspace]) -> str:
    """Return how many prompts and logs workspaces have together, as text."""
    with read_snapshot() as reader:
        counts = [count_rows(reader, in_workspace("", each.id)) for each in workspaces]
    return describe_rows({f"{kind}s": sum(each[kind] for each in counts) for kind in ("prompt", "log")})


def _to_member_cells(row: dict[str, Any]) -> list[str]:
    return [row[name] if name != "disabled" else "yes" if row[name] else "" for name in _MEMBER_COLUMNS]


def _to_cells(row: dict[str, Any]) -> list[str]:
    shown, more = row["owners"][:_OWNERS_SHOWN], len(row["owners"]) - _OWNERS_SHOWN
    owners = ", ".join([*shown, f"{more} more"] if more > 0 else shown)
    return [row["_id"], row["slug"], row["name"], "yes" if row["personal"] else "", str(row["members"]), owners]
