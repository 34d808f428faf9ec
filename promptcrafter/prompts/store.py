"""Prompts in the database. Call the writing functions inside `transactions.writing()`."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, collate, delete, func, or_, select, update
from sqlalchemy.orm import defer, undefer
from sqlalchemy.orm.attributes import set_committed_value

from promptcrafter import clock, jsonio
from promptcrafter.auth.models import DELETED_ACCOUNT, User
from promptcrafter.database.base import Base
from promptcrafter.database.compiled import CompiledQuery
from promptcrafter.database.deletions import delete_or_defer, is_present
from promptcrafter.database.errors import translating
from promptcrafter.database.keyset import Order
from promptcrafter.database.session import is_sqlite, request_connection, session
from promptcrafter.database.transactions import lock_name
from promptcrafter.ids import is_well_formed, new_id
from promptcrafter.problems import Details, Invalid, Problem
from promptcrafter.prompts.models import (
    LABELS_MAX,
    LARGE_COLUMNS,
    VERSIONED,
    Label,
    Prompt,
    SearchText,
    Tag,
    Version,
    Versioned,
)
from promptcrafter.prompts.search import search_columns
from promptcrafter.slugs import is_slug
from promptcrafter.text import LABEL_PATTERN, shorten
from promptcrafter.workspaces import audit, quota
from promptcrafter.workspaces.access import (
    find_resources,
    get_resource,
    in_current_workspace,
    not_found,
    refuse_inaccessible,
    refuse_malformed,
)
from promptcrafter.workspaces.models import Workspace
from promptcrafter.workspaces.principal import Principal, is_owner, owner_needed

_CHANGEABLE = ("title", "description", *VERSIONED, "slug")
_AUDITED = (*_CHANGEABLE, "tags")
_COMMENT_SHOWN = 80  # characters, in a choice of versions
LATEST = "latest"  # selects the newest version of a prompt, as a label would
_SLUGS_PER_QUERY = 1000  # SQLite allows 32,766 parameters in a statement
_DERIVED_SLUG_MAX = 100  # characters; leaves room for a number at the end
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


def find_prompts(principal: Principal, filters: Mapping[str, Any]) -> Select[Prompt]:
    """Return a select of the principal's prompts, filtered by those given of these.

    `model`, `author`, `slug`, `folder`, `label`, `updated_since` and `updated_until` (exclusive), and `tags`, of which
    a prompt must have all.
    """
    statement = find_resources(principal, Prompt)
    if "model" in filters:
        statement = statement.where(Prompt.model == filters["model"])
    if "author" in filters:
        statement = statement.where(Prompt.author_id == filters["author"])
    if "slug" in filters:
        statement = statement.where(Prompt.slug == filters["slug"])
    if "folder" in filters:
        statement = statement.where(_is_in_folder(filters["folder"]))
    if "label" in filters:
        statement = statement.where(Prompt.label_rows.any(Label.name == filters["label"]))
    if "updated_since" in filters:
        statement = statement.where(Prompt.updated_at >= filters["updated_since"])
    if "updated_until" in filters:
        statement = statement.where(Prompt.updated_at < filters["updated_until"])
    tags = list(dict.fromkeys(filters.get("tags", ())))
    if tags:
        statement = statement.where(Prompt.tag_rows.any(Tag.name == tags[0]))
        if len(tags) > 1:  # counted, since PostgreSQL plans a join for each EXISTS, which takes a minute for a hundred
            is_one = (Tag.prompt_id == Prompt.id) & Tag.name.in_(tags)
            statement = statement.where(select(func.count()).where(is_one).scalar_subquery() == len(tags))
    return statement


def _is_in_folder(folder: str) -> ColumnElement[bool]:
    """Return the condition that a slug begins with the folder and a slash, for which an index of slugs can be used.

    On PostgreSQL it can only if the collation of the database is C; SQLite compares bytes.
    """
    if is_sqlite():
        return and_(Prompt.slug >= f"{folder}/", Prompt.slug < f"{folder}{chr(ord('/') + 1)}")
    return func.starts_with(Prompt.slug, f"{folder}/")


def get_page(statement: Select[Prompt], page: int, limit: int) -> tuple[int, list[tuple[Prompt, bool]]]:
    """Return how many prompts a select finds, and those of one page, newest first, each with whether it is a chat.

    Pages count from 1. Contents and messages are deferred.
    """
    total = session.scalar(select(func.count()).select_from(statement.with_only_columns(Prompt.seq).subquery()))
    rows = session.execute(
        statement.add_columns(Prompt.messages.is_not(None))
        .options(defer(Prompt.content), defer(Prompt.messages))
        .order_by(Prompt.created_at.desc(), Prompt.seq.desc())
        .offset((page - 1) * limit)
        .limit(limit)
    )
    return total or 0, [(prompt, bool(is_chat)) for prompt, is_chat in rows]


def rank_tags(principal: Principal) -> tuple[Select[Any], Order]:
    """Return a select of the `name` of each tag in the workspace with the `number` of prompts that have it.

    The order is that of the list: the most frequent tags first, equally frequent ones by code point.
    """
    counts = (
        select(Tag.name, func.count().label("number"))
        .join(Prompt, Prompt.id == Tag.prompt_id)
        .where(in_current_workspace(principal, Prompt), is_present(Prompt))
        .group_by(Tag.name)
        .subquery("counts")
    )
    by_code_point = collate(counts.c.name, "BINARY" if is_sqlite() else "C")
    place = func.row_number().over(order_by=(counts.c.number.desc(), by_code_point)).label("place")
    ranked = select(counts, place).subquery("ranked")
    return select(ranked.c.name, ranked.c.number), Order((ranked.c.place,), is_ascending=True)


def get_top_tags(principal: Principal, count: int) -> Sequence[Any]:
    """Return the first rows of `rank_tags`."""
    ranked, order = rank_tags(principal)
    return session.execute(order.sort(ranked).limit(count)).all()


def get_folders(principal: Principal, folder: str, count: int) -> Sequence[Any]:
    """Return the `name` of each folder that is directly in a folder, or at the top for "", sorted, and a `number`.

    That is how many prompts are in it, at any depth.
    """
    rest = func.substr(Prompt.slug, len(folder) + 2) if folder else Prompt.slug.expression
    end = (func.instr if is_sqlite() else func.strpos)(rest, "/")
    slugs = select(func.substr(rest, 1, end - 1).label("name"))
    slugs = slugs.where(in_current_workspace(principal, Prompt), is_present(Prompt), end > 0)
    names = (slugs.where(_is_in_folder(folder)) if folder else slugs).subquery("names")
    counted = select(names.c.name, func.count().label("number")).group_by(names.c.name)
    return session.execute(counted.order_by(names.c.name).limit(count)).all()


def get_filter_values(principal: Principal, count: int) -> dict[str, list[tuple[str, str]]]:
    """Return for the filters `model`, `label` and `author` which values the prompts have, each with its name."""
    own = (in_current_workspace(principal, Prompt), is_present(Prompt))
    models = select(Prompt.model).where(*own).distinct().order_by(Prompt.model)
    labels = select(Label.name).join(Prompt, Prompt.id == Label.prompt_id).where(*own).distinct().order_by(Label.name)
    authors = select(User.id, User.name).where(User.id.in_(select(Prompt.author_id).where(*own))).order_by(User.name)
    return {
        "model": [(model, model) for model in session.scalars(models.limit(count))],
        "label": [(name, name) for name in session.scalars(labels.limit(count))],
        "author": [(user_id, name or DELETED_ACCOUNT) for user_id, name in session.execute(authors.limit(count))],
    }


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


def get_prompts(principal: Principal, filters: Mapping[str, Any]) -> Sequence[Prompt]:
    """Return the prompts of `find_prompts`, newest first, with their large columns deferred."""
    statement = find_prompts(principal, filters).options(*map(defer, LARGE_COLUMNS))
    return session.scalars(statement.order_by(Prompt.created_at.desc(), Prompt.seq.desc())).all()


def get_newest_titles(principal: Principal, count: int) -> Sequence[Row[str, str]]:
    """Return `id` and `title` of the principal's newest prompts, at most `count`."""
    newest = find_prompts(principal, {}).with_only_columns(Prompt.id, Prompt.title)
    return session.execute(newest.order_by(Prompt.created_at.desc(), Prompt.seq.desc()).limit(count)).all()


def get_changed_last(principal: Principal, count: int) -> Sequence[Version]:
    """Return the newest versions of the principal's prompts, with the names of their authors."""
    newest = select(Version).join(Prompt, Prompt.id == Version.prompt_id)
    newest = newest.where(in_current_workspace(principal, Prompt), is_present(Prompt), Version.number == Prompt.version)
    newest = newest.options(undefer(Version.author_name), defer(Version.content), defer(Version.messages))
    return session.scalars(newest.order_by(Prompt.updated_at.desc(), Prompt.seq.desc()).limit(count)).all()


def get_changed_last_version(principal: Principal) -> Version | None:
    """Return the newest version of the principal's prompt that was changed last, with its content; None without any."""
    newest = get_changed_last(principal, 1)
    return find_version(newest[0].prompt_id, newest[0].number) if newest else None


def get_titles(prompt_ids: Collection[str]) -> dict[str, str]:
    """Return the titles of prompts by their ids; the caller must have checked that they may be read."""
    return dict(session.execute(select(Prompt.id, Prompt.title).where(Prompt.id.in_(prompt_ids))).all())


def get_prompt(principal: Principal, prompt_id: str) -> Prompt:
    """Return the principal's prompt. Raises as `get_resource` does."""
    with _explaining_slug(prompt_id):
        return get_resource(principal, Prompt, prompt_id)


def refuse_prompt_not_owned(principal: Principal, prompt_id: str) -> None:
    """Raise as `get_resource` does unless the prompt belongs to the principal; faster, because no object is loaded."""
    get_workspace_id(principal, prompt_id)


def get_workspace_id(principal: Principal, prompt_id: str) -> str:
    """Return the id of the workspace of the principal's prompt. Raises as `get_resource` does."""
    refuse_malformed_id(prompt_id)
    workspace_id, _ = get_latest_numbers([prompt_id]).get(prompt_id, (None, 0))
    if workspace_id is None:
        raise not_found("prompt")
    refuse_inaccessible(principal, "prompt", workspace_id, prompt_id)
    return workspace_id


def refuse_malformed_id(prompt_id: str) -> None:
    """Raise 400 for text that cannot be the id of a prompt, with a hint if it has the form of a slug."""
    with _explaining_slug(prompt_id):
        refuse_malformed("prompt", prompt_id)


def get_latest_numbers(prompt_ids: Collection[str]) -> dict[str, tuple[str, int]]:
    """Return the workspace's id and the number of the latest version of each prompt that exists, by the prompt's id."""
    rows: Iterable[Any]
    if len(prompt_ids) == 1:
        rows = filter(None, [_SELECT_LATEST_NUMBER.first(id=next(iter(prompt_ids)))])
    else:
        rows = request_connection().execute(_SELECT_LATEST_NUMBERS, {"ids": list(prompt_ids)})
    return {prompt_id: (workspace_id, number) for prompt_id, workspace_id, number in rows}


def get_workspace_ids(principal: Principal, prompt_ids: Iterable[str]) -> list[str]:
    """Return the ids of the workspaces of prompts, in their order; for an unknown prompt that of the current one."""
    ids = list(prompt_ids)
    known = get_latest_numbers({prompt_id for prompt_id in ids if is_well_formed("prompt", prompt_id)})
    return [known.get(prompt_id, (principal.current_id, 0))[0] for prompt_id in ids]


def get_labelled_numbers(names: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Return the numbers of the versions that labels are on, by (prompt id, label); unknown labels are left out."""
    if not names:
        return {}
    ids, labels = zip(*names, strict=True)
    statement = select(Label.prompt_id, Label.name, Label.version)
    statement = statement.where(Label.prompt_id.in_(set(ids)), Label.name.in_(set(labels)))
    return {(prompt_id, name): number for prompt_id, name, number in request_connection().execute(statement)}


def find_number(prompt_id: str, name: str) -> int:
    """Return the number of the version of an existing prompt that a label or `latest` names. Raises 404."""
    if name == LATEST:
        number = get_latest_numbers([prompt_id]).get(prompt_id, ("", 0))[1]
    else:
        number = get_labelled_numbers([(prompt_id, name)]).get((prompt_id, name), 0)
    if not number:
        raise version_not_found(name)
    return number


def get_prompts_by_slug(principal: Principal, slugs: Collection[str]) -> dict[str, Prompt]:
    """Return the principal's prompts that have one of the slugs, by slug."""
    ordered = sorted(slugs)
    prompts: list[Prompt] = []
    for start in range(0, len(ordered), _SLUGS_PER_QUERY):
        chunk = ordered[start : start + _SLUGS_PER_QUERY]
        prompts += session.scalars(find_resources(principal, Prompt).where(Prompt.slug.in_(chunk)))
    return {prompt.slug: prompt for prompt in prompts}


def add_prompt(principal: Principal, values: Mapping[str, Any], search_text: Mapping[str, str]) -> Prompt:
    """Insert a prompt, its first version and its search text. Raises 409 if the slug sent is taken."""
    lock_slugs(principal)
    now = clock.now()
    prompt = Prompt(
        id=new_id("prompt"),
        workspace_id=principal.workspace_id,
        author_id=principal.user_id,
        slug=values.get("slug") or _choose_slug(principal, values["title"]),
        title=values["title"],
        description=values.get("description", ""),
        **{name: values[name] for name in VERSIONED if name in values},
        created_at=now,
        updated_at=now,
    )
    for rows in ("label_rows", "tag_rows"):  # a new prompt has none: saves two queries
        set_committed_value(prompt, rows, [])
    _set_tags(prompt, values.get("tags", []))
    session.add(prompt)
    quota.check_growth(prompt.workspace_id)
    _flush_or_refuse_slug()
    _add_version(principal, prompt, values.get("comment"))
    session.add(SearchText(seq=prompt.seq, **search_text))
    _note(principal, prompt, "prompt.create")
    session.flush()
    return prompt


def derive_slug(title: str) -> str:
    """Return the slug for a title, which may be taken."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain)[:_DERIVED_SLUG_MAX].strip("-") or "prompt"


def lock_prompt(principal: Principal, prompt_id: str) -> Prompt:
    """Return the principal's prompt, locked until the commit. Raises as `get_resource` does."""
    with _explaining_slug(prompt_id):
        return get_resource(principal, Prompt, prompt_id, lock=True)


def lock_prompt_by_slug(principal: Principal, slug: str) -> Prompt:
    """Return the principal's prompt with this slug, locked until the commit. Raises 404 if there is none."""
    return _require(lock_prompt_if_present(principal, slug))


def lock_prompt_if_present(principal: Principal, slug: str) -> Prompt | None:
    """Return the principal's prompt with this slug, locked until the commit; None if there is none."""
    return session.scalar(find_resources(principal, Prompt).where(Prompt.slug == slug).with_for_update())


def prompt_not_found(prompt_id: str) -> Problem:
    """Return the error 404 for the id of a log's or variant's prompt, or for text that cannot be one."""
    problem = not_found("prompt")
    problem.details = _explain_slug(prompt_id, "; a log under a slug takes POST /monitor/log")
    return problem


def change_prompt(principal: Principal, prompt: Prompt, changes: Mapping[str, Any]) -> None:
    """Apply changes; if they make a version, add it by the principal, with the `comment` that came with them.

    Raises 409 if the slug sent is taken, and 403 for another slug if the prompt has a label that is protected from the
    principal: programs that fetch the label find the prompt by its slug.
    """
    if changes.get("slug", prompt.slug) != prompt.slug:
        _refuse_protected(principal, prompt, prompt.labels)
    quota.check_growth(prompt.workspace_id)
    version_before = list(_versioned(prompt).values())
    searched_before = (prompt.title, prompt.tags, prompt.content)
    before = {name: getattr(prompt, name) for name in changes if name in _AUDITED}
    for name in _CHANGEABLE:
        if name in changes and not jsonio.is_same(getattr(prompt, name), changes[name]):
            setattr(prompt, name, changes[name])
    _flush_or_refuse_slug()
    if "tags" in changes:
        _set_tags(prompt, changes["tags"])
    prompt.updated_at = clock.now()
    if not jsonio.is_same(list(_versioned(prompt).values()), version_before):
        _add_next_version(principal, prompt, changes.get("comment"))
    after = {name: getattr(prompt, name) for name in before if not jsonio.is_same(getattr(prompt, name), before[name])}
    if after:
        _note(principal, prompt, "prompt.change", before={name: before[name] for name in after}, after=after)
    if (prompt.title, prompt.tags, prompt.content) != searched_before:
        update_search_text(prompt)
    session.flush()


def add_version(principal: Principal, prompt: Prompt, state: Mapping[str, Any], comment: str | None) -> None:
    """Add a version by the principal to a locked prompt, even if it is the same as the latest.

    `state` has the column of each of VERSIONED.
    """
    before = {"version": prompt.version, **_versioned(prompt)}
    _replace_state(principal, prompt, state, comment)
    after = {"version": prompt.version, **_versioned(prompt)}
    changed = [name for name in after if not jsonio.is_same(before[name], after[name])]
    old, new = ({name: values[name] for name in changed} for values in (before, after))
    _note(principal, prompt, "prompt.change", before=old, after=new)


def has_all(prompt: Prompt, changes: Mapping[str, Any]) -> bool:
    """Return whether a prompt is already as changes would make it."""
    return all(jsonio.is_same(getattr(prompt, name), changes[name]) for name in changes if name != "comment")


def remove_prompt(principal: Principal, prompt: Prompt) -> None:
    """Delete a locked prompt with its versions, labels, tags, search text and logs; many are left to a purge.

    Raises 403 if one of its labels is protected from the principal.
    """
    _refuse_protected(principal, prompt, prompt.labels)
    audit.forget(prompt.id)
    audit.note(principal, prompt.workspace_id, "prompt.delete", "prompt", prompt.id)
    if not delete_or_defer(prompt):
        session.execute(delete(SearchText).where(SearchText.seq == prompt.seq))  # the search needs no condition
        session.execute(update(Prompt).where(Prompt.id == prompt.id).values(slug=Prompt.id))  # which is no slug


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


def find_version(prompt_id: str, number: int | None) -> Version | None:
    """Return a version of a prompt, without a number the newest one; None if the prompt has been deleted."""
    statement = select(Version).where(Version.prompt_id == prompt_id)
    if number is not None:
        statement = statement.where(Version.number == number)
    return session.scalar(statement.order_by(Version.number.desc()).limit(1))


def not_a_version(version: int | str, latest: int) -> str:
    """Return the reason, for a field, why a number or label is not a version of a prompt whose latest one is given."""
    if isinstance(version, str):
        return f"must be a version of the prompt, which has no label {version}; the latest is {latest}"
    return f"must be a version of the prompt; the latest is {latest}"


def version_not_found(name: str = "") -> Problem:
    """Return the error 404 for a version, which tells by what name it was asked for."""
    details = {"version": [f"{shorten(name)} is neither the number nor a label of a version of this prompt"]}
    return Problem(404, "Version not found", "version_not_found", details=details if name else None)


def restore_version(principal: Principal, prompt: Prompt, version: Version, comment: str | None) -> Version:
    """Add a version by the principal with the content and model of an old one, and return it."""
    restored = _replace_state(principal, prompt, _versioned(version), comment)
    numbers = {"version": version.number}, {"version": restored.number}
    _note(principal, prompt, "prompt.restore", before=numbers[0], after=numbers[1])
    session.refresh(restored, ["author_name"])
    return restored


def refuse_label(name: str, field: str) -> None:
    """Raise 400 unless `name`, the value of this field, is a valid label."""
    if name == LATEST or not re.fullmatch(LABEL_PATTERN, name):
        raise Invalid({field: [f"must match {LABEL_PATTERN} and not be {LATEST}"]})


def find_protected_labels(workspace_id: str) -> Select[list[str]]:
    """Return a select of the labels that only owners of a workspace may set, move and remove, as one list."""
    return select(Workspace.protected_labels).where(Workspace.id == workspace_id)


def get_protected_labels(workspace_id: str) -> list[str]:
    """Return the labels that only owners of an existing workspace may set, move and remove."""
    return session.scalars(find_protected_labels(workspace_id)).one()


def label_protected(principal: Principal, workspace_id: str, name: str) -> Problem:
    """Return the error 403 for a label that is protected from the principal."""
    return owner_needed(principal, workspace_id, f"the protected label {name}")


def set_label(principal: Principal, prompt: Prompt, name: str, version: int | str) -> None:
    """Set a label on a version, given by number, label or `latest`, and remove it from the version that had it.

    Raises 403 if the label is protected from the principal, and 400 if the prompt has no such version, or as many
    labels as it can have. The prompt must be locked.
    """
    _refuse_protected(principal, prompt, [name])
    named = {LATEST: prompt.version, **{row.name: row.version for row in prompt.label_rows}}
    number = version if isinstance(version, int) else named.get(version)
    if number is None or number > prompt.version:
        raise Invalid({"version": [not_a_version(version, prompt.version)]})
    if name not in named and len(prompt.label_rows) >= LABELS_MAX:
        raise Invalid({"label": [f"must be one of those that the prompt has: there may be {LABELS_MAX:,}"]})
    before = {"version": named[name]} if name in named else None
    quota.check_growth(prompt.workspace_id)
    _note(principal, prompt, "label.set", label=name, before=before, after={"version": number})
    session.merge(Label(prompt_id=prompt.id, name=name, version=number))
    session.flush()
    session.expire(prompt, ["label_rows"])


def remove_label(principal: Principal, prompt: Prompt, name: str) -> None:
    """Remove a label of a prompt.

    Raises 403 if the label is protected from the principal, and 404 if the prompt does not have it.
    """
    _refuse_protected(principal, prompt, [name])
    removed = delete(Label).where(Label.prompt_id == prompt.id, Label.name == name).returning(Label.version)
    number = session.scalar(removed) if re.fullmatch(LABEL_PATTERN, name) else None
    if number is None:
        raise Problem(404, "Label not found", "label_not_found")
    _note(principal, prompt, "label.remove", label=name, before={"version": number})


def lock_slugs(principal: Principal) -> None:
    """Lock the slugs of the current workspace until the commit, so that two transactions cannot choose the same one."""
    # not the workspace's row: a request with an Idempotency-Key refers to a member already, and would wait for one
    # who removes the member
    lock_name(f"slugs of {principal.workspace_id}")


def _refuse_protected(principal: Principal, prompt: Prompt, labels: Sequence[str]) -> None:
    """Raise 403 if one of these labels is protected from the principal. For an owner it needs no query."""
    if labels and not is_owner(principal, prompt.workspace_id):
        protected = get_protected_labels(prompt.workspace_id)
        for name in labels:
            if name in protected:
                raise label_protected(principal, prompt.workspace_id, name)


def _note(principal: Principal, prompt: Prompt, action: str, label: str | None = None, **values: Any) -> None:
    """Add an entry to the audit trail about a prompt or, if one is given, about its label of this name."""
    if label is None:
        audit.note(principal, prompt.workspace_id, action, "prompt", prompt.id, prompt.title, **values)
    else:
        audit.note(principal, prompt.workspace_id, action, "label", prompt.id, label, within_id=prompt.id, **values)


def _require(prompt: Prompt | None) -> Prompt:
    if prompt is None:
        raise not_found("prompt")
    return prompt


@contextmanager
def _explaining_slug(prompt_id: str) -> Iterator[None]:
    """Add to an error of the block where a prompt is found by its slug, if the id has the form of one."""
    try:
        yield
    except Problem as problem:
        problem.details = _explain_slug(prompt_id)
        raise


def _explain_slug(prompt_id: str, more: str = "") -> Details | None:
    """Return a hint as the details of an error, if what was sent as an id is malformed but has the form of a slug."""
    if is_well_formed("prompt", prompt_id) or not is_slug(prompt_id):
        return None
    return {
        "promptId": [
            f"must be an id, such as prompt_…; GET /prompts/by-slug/{prompt_id} finds a prompt by its slug{more}"
        ]
    }


def _versioned(state: Versioned) -> dict[str, Any]:
    """Return what makes a version of a prompt, by column name."""
    return {name: getattr(state, name) for name in VERSIONED}


def _replace_state(principal: Principal, prompt: Prompt, state: Mapping[str, Any], comment: str | None) -> Version:
    """Make `state` the current state of a prompt, and return its new version."""
    quota.check_growth(prompt.workspace_id)
    for name in VERSIONED:
        setattr(prompt, name, state[name])
    prompt.updated_at = clock.now()
    version = _add_next_version(principal, prompt, comment)
    update_search_text(prompt)
    return version


def _add_next_version(principal: Principal, prompt: Prompt, comment: str | None) -> Version:
    """Add the prompt's current state as its next version, and return it."""
    prompt.version += 1
    return _add_version(principal, prompt, comment)


def _add_version(principal: Principal, prompt: Prompt, comment: str | None = None) -> Version:
    """Add the current state of a prompt as the version with its current number."""
    version = Version(
        prompt_id=prompt.id,
        number=prompt.version,
        **_versioned(prompt),
        created_at=prompt.updated_at,
        author_id=principal.user_id,
        comment=comment,
    )
    set_committed_value(version, "label_names", None)
    session.add(version)
    return version


def update_search_text(prompt: Prompt) -> None:
    """Replace the text by which search finds a prompt with its current title, tags and content."""
    session.flush()
    columns = search_columns(prompt.title, prompt.tags, prompt.content)
    session.execute(update(SearchText).where(SearchText.seq == prompt.seq).values(**columns))


def _set_tags(prompt: Prompt, names: list[str]) -> None:
    if names != prompt.tags:
        prompt.tag_rows.clear()
        session.flush()  # executes the deletes before the inserts, which reuse their primary keys
        prompt.tag_rows.extend(Tag(position=position, name=name) for position, name in enumerate(names))


def _flush_or_refuse_slug() -> None:
    """Flush the session. Raises 409 if another prompt of the workspace has the slug."""
    with translating({"uq_prompts_workspace_id_slug": lambda: Problem(409, "Slug already in use.", "slug_taken")}):
        session.flush()


def _choose_slug(principal: Principal, title: str) -> str:
    """Return a slug for the title that the workspace has not used, with `-2`, `-3` … at the end if necessary."""
    slug = derive_slug(title)
    is_similar = or_(Prompt.slug == slug, Prompt.slug.startswith(f"{slug}-", autoescape=True))
    taken = set(session.scalars(select(Prompt.slug).where(in_current_workspace(principal, Prompt), is_similar)))
    return next(name for name in (slug, *(f"{slug}-{n}" for n in range(2, len(taken) + 3))) if name not in taken)
