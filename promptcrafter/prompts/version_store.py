"""Versions of prompts in the database. Call the writing functions inside `transactions.writing()`."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, bindparam, func, or_, select, update
from sqlalchemy.orm import defer, undefer
from sqlalchemy.orm.attributes import set_committed_value

from promptcrafter import clock, jsonio
from promptcrafter.auth.models import DELETED_ACCOUNT
from promptcrafter.database.base import Base
from promptcrafter.database.compiled import CompiledQuery
from promptcrafter.database.deletions import is_present
from promptcrafter.database.session import request_connection, session
from promptcrafter.prompts.label_store import get_labelled_numbers
from promptcrafter.prompts.models import VERSIONED, Label, Prompt, SearchText, Version, Versioned
from promptcrafter.prompts.search import search_columns
from promptcrafter.prompts.version_names import LATEST, version_not_found
from promptcrafter.text import LABEL_PATTERN
from promptcrafter.workspaces import audit, quota
from promptcrafter.workspaces.access import in_current_workspace
from promptcrafter.workspaces.principal import Principal

_PROMPTS_PER_QUERY = 100  # SQLite allows 1,000 levels of an expression
_COMMENT_SHOWN = 80  # characters, in a choice of versions
_PROMPTS = Base.metadata.tables["prompts"]
# Each request that records or lists logs executes one of these
_SELECT_LATEST_NUMBER = CompiledQuery(
    select(_PROMPTS.c.id, _PROMPTS.c.workspace_id, _PROMPTS.c.version).where(
        _PROMPTS.c.id == bindparam("id"), is_present(Prompt)
    )
)
_SELECT_LATEST_NUMBERS = select(_PROMPTS.c.id, _PROMPTS.c.workspace_id, _PROMPTS.c.version).where(
    _PROMPTS.c.id.in_(bindparam("ids", expanding=True)), is_present(Prompt)
)


def get_latest_numbers(prompt_ids: Collection[str]) -> dict[str, tuple[str, int]]:
    """Return the workspace's id and the number of the latest version of each prompt that exists, by the prompt's id."""
    rows: Iterable[Any]
    if len(prompt_ids) == 1:
        rows = filter(None, [_SELECT_LATEST_NUMBER.first(id=next(iter(prompt_ids)))])
    else:
        rows = request_connection().execute(_SELECT_LATEST_NUMBERS, {"ids": list(prompt_ids)})
    return {prompt_id: (workspace_id, number) for prompt_id, workspace_id, number in rows}


def get_version_number(prompt_id: str, name: str) -> int:
    """Return the number of the version of an existing prompt that a label or `latest` names. Raises 404."""
    if name == LATEST:
        number = get_latest_numbers([prompt_id]).get(prompt_id, ("", 0))[1]
    else:
        number = get_labelled_numbers([(prompt_id, name)]).get((prompt_id, name), 0)
    if not number:
        raise version_not_found(name)
    return number


def find_versions(prompt_id: str) -> Select[Version]:
    """Return a select of a prompt's versions, with the names of their authors."""
    return select(Version).options(undefer(Version.author_name)).where(Version.prompt_id == prompt_id)


def get_newest_versions(prompt_ids: Collection[str], count: int) -> Sequence[Row[str, int, str | None, str | None]]:
    """Return prompt id, number, label names and the beginning of the comment of the `count` newest versions of each.

    The newest versions come first. The caller must have checked that the prompts may be read.
    """
    comment = func.substr(Version.comment, 1, _COMMENT_SHOWN)
    newest = select(Version.prompt_id, Version.number, Version.label_names, comment)
    newest = newest.join(Prompt, Prompt.id == Version.prompt_id)
    newest = newest.where(Prompt.id.in_(prompt_ids), Version.number > Prompt.version - count)
    return session.execute(newest.order_by(Version.number.desc())).all() if prompt_ids else []


class Change(NamedTuple):
    """Who wrote a version, and the comment on it."""

    author: str
    comment: str | None


def get_last_changes(prompt_ids: Collection[str]) -> dict[str, Change]:
    """Return the change that made the latest version of each prompt, by the prompt's id.

    The caller must have checked that the prompts may be read.
    """
    is_latest = (Prompt.id == Version.prompt_id) & (Prompt.version == Version.number)
    latest = select(Version.prompt_id, Version.author_name, Version.comment).join(Prompt, is_latest)
    rows = session.execute(latest.where(Prompt.id.in_(prompt_ids)))
    return {prompt_id: Change(name or DELETED_ACCOUNT, comment) for prompt_id, name, comment in rows}


def get_changed_last(principal: Principal, count: int) -> Sequence[Version]:
    """Return the newest versions of the principal's prompts, with the names of their authors."""
    newest = select(Version).join(Prompt, Prompt.id == Version.prompt_id)
    newest = newest.where(in_current_workspace(principal, Prompt), is_present(Prompt), Version.number == Prompt.version)
    newest = newest.options(undefer(Version.author_name), defer(Version.content), defer(Version.messages))
    return session.scalars(newest.order_by(Prompt.updated_at.desc(), Prompt.seq.desc()).limit(count)).all()


def get_changed_last_version(principal: Principal) -> Version | None:
    """Return the newest version of the principal's prompt that was changed last, with its content; None without any."""
    newest = get_changed_last(principal, 1)
    return get_version_or_none(newest[0].prompt_id, newest[0].number) if newest else None


def get_version(prompt: Prompt, name: str) -> Version:
    """Return the version that a number, a label or `latest` names. Raises 404 if there is none."""
    if name == LATEST:
        name = str(prompt.version)
    if re.fullmatch("[1-9][0-9]{0,8}", name):
        statement = find_versions(prompt.id).where(Version.number == int(name))
    elif not re.fullmatch(LABEL_PATTERN, name):
        raise version_not_found(name)
    else:
        on_label = (Label.prompt_id == Version.prompt_id) & (Label.version == Version.number)
        statement = find_versions(prompt.id).join(Label, on_label).where(Label.name == name)
    version = session.scalar(statement)
    if version is None:
        raise version_not_found(name)
    return version


def get_versions(keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], Version]:
    """Return the versions with these prompt ids and numbers, by both; those that do not exist are left out.

    The caller must have checked that the prompts may be read.
    """
    numbers: dict[str, list[int]] = {}
    for prompt_id, number in sorted(keys):
        numbers.setdefault(prompt_id, []).append(number)
    prompt_ids = list(numbers)
    found: dict[tuple[str, int], Version] = {}
    for start in range(0, len(prompt_ids), _PROMPTS_PER_QUERY):
        some = prompt_ids[start : start + _PROMPTS_PER_QUERY]
        # no list of pairs, for which SQLite uses no index
        wanted = or_(*((Version.prompt_id == each) & Version.number.in_(numbers[each]) for each in some))
        found |= {(each.prompt_id, each.number): each for each in session.scalars(select(Version).where(wanted))}
    return found


def get_version_or_none(prompt_id: str, number: int | None) -> Version | None:
    """Return a version of a prompt, without a number the newest one; None if the prompt has been deleted."""
    statement = select(Version).where(Version.prompt_id == prompt_id)
    if number is not None:
        statement = statement.where(Version.number == number)
    return session.scalar(statement.order_by(Version.number.desc()).limit(1))


def add_version(principal: Principal, prompt: Prompt, state: Mapping[str, Any], comment: str | None) -> None:
    """Add a version by the principal to a locked prompt, even if it is the same as the latest.

    `state` has the column of each of VERSIONED.
    """
    before = {"version": prompt.version, **versioned_columns(prompt)}
    _replace_state(principal, prompt, state, comment)
    after = {"version": prompt.version, **versioned_columns(prompt)}
    changed = [name for name in after if not jsonio.is_same(before[name], after[name])]
    old, new = ({name: values[name] for name in changed} for values in (before, after))
    _note(principal, prompt, "prompt.change", old, new)


def add_next_version(principal: Principal, prompt: Prompt, comment: str | None) -> Version:
    """Add the prompt's current state as its next version, and return it."""
    prompt.version += 1
    return insert_version(principal, prompt, comment)


def insert_version(principal: Principal, prompt: Prompt, comment: str | None = None) -> Version:
    """Add the current state of a prompt as the version with its current number."""
    version = Version(
        prompt_id=prompt.id,
        number=prompt.version,
        **versioned_columns(prompt),
        created_at=prompt.updated_at,
        author_id=principal.user_id,
        comment=comment,
    )
    set_committed_value(version, "label_names", None)
    session.add(version)
    return version


def restore_version(principal: Principal, prompt: Prompt, version: Version, comment: str | None) -> Version:
    """Add a version by the principal with the content and model of an old one, and return it."""
    restored = _replace_state(principal, prompt, versioned_columns(version), comment)
    _note(principal, prompt, "prompt.restore", {"version": version.number}, {"version": restored.number})
    session.refresh(restored, ["author_name"])
    return restored


def _replace_state(principal: Principal, prompt: Prompt, state: Mapping[str, Any], comment: str | None) -> Version:
    """Make `state` the current state of a prompt, and return its new version."""
    quota.check_growth(prompt.workspace_id)
    for name in VERSIONED:
        setattr(prompt, name, state[name])
    prompt.updated_at = clock.now()
    version = add_next_version(principal, prompt, comment)
    update_search_text(prompt)
    return version


def versioned_columns(state: Versioned) -> dict[str, Any]:
    """Return what makes a version of a prompt, by column name."""
    return {name: getattr(state, name) for name in VERSIONED}


def update_search_text(prompt: Prompt) -> None:
    """Replace the text by which search finds a prompt with its current title, tags and content."""
    session.flush()
    columns = search_columns(prompt.title, prompt.tags, prompt.content)
    session.execute(update(SearchText).where(SearchText.seq == prompt.seq).values(**columns))


def _note(
    principal: Principal, prompt: Prompt, action: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """Add an entry to the audit trail about a prompt."""
    workspace_id = prompt.workspace_id
    audit.note(principal, workspace_id, action, "prompt", prompt.id, prompt.title, before=before, after=after)
