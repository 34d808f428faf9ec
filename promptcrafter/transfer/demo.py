"""The demonstration: a workspace with accounts of its own and 60 days of content, stored as an import stores it."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from promptcrafter import clock
from promptcrafter.auth import passwords
from promptcrafter.auth import store as accounts
from promptcrafter.auth.models import User
from promptcrafter.database.transactions import write_until_done, writing
from promptcrafter.experiments.store import restore_experiments
from promptcrafter.logs.arriving_scores import restore_scores
from promptcrafter.logs.store import prepare, restore_all
from promptcrafter.logs.token_costs import with_tokens_and_cost
from promptcrafter.permissions import Role
from promptcrafter.problems import Problem
from promptcrafter.prompts.restore import restore_prompts
from promptcrafter.prompts.search import search_columns
from promptcrafter.scores.configs import put_config
from promptcrafter.traces.store import restore_spans, restore_traces
from promptcrafter.transfer import demo_data
from promptcrafter.transfer.demo_data import PROGRAM, Demonstration
from promptcrafter.transfer.records import Record, load_values
from promptcrafter.workspaces import account_store, audit, member_store, store
from promptcrafter.workspaces.models import Workspace
from promptcrafter.workspaces.principal import Membership, Principal, at_home

SLUG, NAME = "demo", "Demo"
# `.invalid` is no domain of anybody (RFC 2606), so that no mail can reach whoever has such an address
PEOPLE: tuple[tuple[str, str, Role], ...] = (
    ("Mara Lindqvist", "mara@demo.invalid", "owner"),
    ("Tom Okafor", "tom@demo.invalid", "editor"),
    ("Priya Nair", "priya@demo.invalid", "editor"),
    ("The shop's program", "program@demo.invalid", "editor"),  # logs outputs, and gives the scores of a judge
)
_ROWS_AT_ONCE = 250  # so that other writers never wait long
_PASSWORD_BYTES = 15
_HELPFUL = {
    **{"kind": "boolean", "minimum": None, "maximum": None, "categories": None, "direction": "up"},
    "description": "Whether the customer found the answer helpful",
}


class SignIn(NamedTuple):
    """What to sign in with."""

    email: str
    password: str


def add(on_progress: Callable[[int, int], None]) -> SignIn:
    """Make workspace and accounts, and fill the workspace. `on_progress` gets the number of stored rows and the total.

    Raises 409 if there is a workspace with that slug, or an account with one of these addresses.
    """
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    hashes = [passwords.hash_password(each) for each in (password, *_make_passwords(len(PEOPLE) - 1))]
    made = demo_data.make(clock.now())
    with writing():
        principals = _add_workspace(hashes)
    _store(principals, made, on_progress)
    return SignIn(PEOPLE[0][1], password)


def remove() -> bool:
    """Delete the workspace and the accounts; return whether there was anything to delete.

    Raises 409 for a workspace with that slug that is not owned by the demonstration's first account, and if one of the
    accounts is the only owner of another workspace with other members.
    """
    has_removed = False

    def remove_workspace() -> None:
        nonlocal has_removed
        with writing():
            workspace = _find_workspace()
            if workspace is not None:
                store.remove_workspace(store.lock_any_workspace(workspace.id), SLUG)
                has_removed = True

    write_until_done(remove_workspace)
    for _, email, _ in PEOPLE:
        if accounts.get_by_email_or_none(email) is not None:
            write_until_done(partial(_remove_account, email))
            has_removed = True
    return has_removed


def _make_passwords(count: int) -> list[str]:
    """Return passwords that nobody will ever see."""
    return [secrets.token_urlsafe(_PASSWORD_BYTES) for _ in range(count)]


def _remove_account(email: str) -> None:
    with writing():
        account_store.remove_account(at_home(accounts.lock_by_email(email).id), anonymise=False)


def _find_workspace() -> Workspace | None:
    """Return the demonstration's workspace, None if there is none. Raises 409 for a workspace of others."""
    found = next((each for each in store.list_all_workspaces() if each["slug"] == SLUG), None)
    if found is None:
        return None
    if PEOPLE[0][1] not in found["owners"]:
        text = f"The workspace {SLUG} was not made by this command: {PEOPLE[0][1]} does not own it."
        raise Problem(409, text, "not_the_demonstration")
    return store.get_any_workspace(found["_id"])


def _add_workspace(hashes: Sequence[str]) -> list[Principal]:
    """Insert the accounts and the empty workspace; return the principal of each person. Raises 409."""
    if any(each["slug"] == SLUG for each in store.list_all_workspaces()):
        text = f"There is a workspace {SLUG} already: remove it first, if it is that of the demonstration, by --remove."
        raise Problem(409, text, "slug_taken")
    people: list[User] = []
    for (name, email, _), password_hash in zip(PEOPLE, hashes, strict=True):
        if accounts.get_by_email_or_none(email) is not None:
            raise Problem(409, f"There is an account {email} already.", "email_taken")
        people.append(account_store.add_account(name, email, password_hash))
    workspace = store.add_workspace(at_home(people[0].id), NAME, SLUG)
    for person, (_, _, role) in zip(people[1:], PEOPLE[1:], strict=True):
        member_store.put_member(_act_as(people[0], workspace), workspace, person.id, role)
    for person in people:
        member_store.set_default(person.id, workspace.id)
    return [_act_as(person, workspace) for person in people]


def _act_as(person: User, workspace: Workspace) -> Principal:
    """Return the principal of a person in the workspace, not of a command: what it makes is that person's."""
    return Principal(
        user_id=person.id,
        memberships={workspace.id: Membership("owner", workspace.slug)},
        current_id=workspace.id,
    )


def _store(people: Sequence[Principal], made: Demonstration, on_progress: Callable[[int, int], None]) -> None:
    owner, program = people[0], people[PROGRAM]
    total = len(made.logs) + len(made.scores) + len(made.spans) + len(made.traces)
    done = 0

    def note_progress(count: int) -> None:
        nonlocal done
        done += count
        on_progress(done, total)

    with writing():
        put_config(owner, "helpful", _HELPFUL)
        _store_prompts(people, made)
        restore_experiments(owner, [_load("experiment", each) for each in made.experiments])
        for move in made.moves:
            audit.note(
                people[move.author],
                owner.current_id,
                "label.set",
                "label",
                move.prompt_id,
                move.label,
                within_id=move.prompt_id,
                before=None if move.before is None else {"version": move.before},
                after={"version": move.version},
                created_at=move.moment,
            )
    with writing():
        restore_traces(program, [_load("trace", each) for each in made.traces])
        restore_spans(program, [_load("span", each) for each in made.spans])
    note_progress(len(made.traces) + len(made.spans))
    for logs in _each_batch(made.logs):
        values = [_load("log", each) for each in logs]
        prepared = [prepare(with_tokens_and_cost(each, each["model_used"])) for each in values]
        with writing():
            restore_all(program, prepared)
        note_progress(len(logs))
    for scores in _each_batch(sorted(made.scores, key=lambda each: each[0])):
        with writing():
            for place, group in groupby(scores, key=lambda each: each[0]):
                person = people[place]
                rated = {"rater": person.user_id, "imported_name": None}  # not imported: the person's own
                restore_scores(person, [{**_load("score", fields), **rated} for _, fields in group])
        note_progress(len(scores))


def _store_prompts(people: Sequence[Principal], made: Demonstration) -> None:
    """Insert the prompts with their versions, each by its author."""
    for fields in made.prompts:
        prompt = _load("prompt", fields)
        versions = [
            (author, {**_load("version", each), "updated_at": prompt["updated_at"]})
            for author, each in made.versions
            if each["promptId"] == prompt["id"]
        ]
        for place, (author, version) in enumerate(versions):
            added = [prompt] if place == 0 else []
            texts = [search_columns(each["title"], each["tags"], version["content"]) for each in added]
            restore_prompts(people[author], added, [version], texts)


def _load(kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the column values of a line of an export: what the demonstration stores can be exported and imported."""
    present = {name: value for name, value in fields.items() if value is not None}
    return load_values(Record("the demonstration", kind, present, 0))


def _each_batch(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE))
