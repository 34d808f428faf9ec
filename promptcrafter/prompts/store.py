"""Prompts in the database. Call the writing functions inside `transactions.writing()`."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Row, delete, or_, select, update
from sqlalchemy.orm.attributes import set_committed_value

from promptcrafter import clock, jsonio
from promptcrafter.database.deletions import delete_or_defer
from promptcrafter.database.errors import translating
from promptcrafter.database.session import session
from promptcrafter.database.transactions import lock_name
from promptcrafter.ids import is_well_formed, new_id
from promptcrafter.problems import Details, Problem
from promptcrafter.prompts.label_store import refuse_protected_labels
from promptcrafter.prompts.models import VERSIONED, Prompt, SearchText, Tag
from promptcrafter.prompts.version_store import (
    add_next_version,
    get_latest_numbers,
    insert_version,
    update_search_text,
    versioned_columns,
)
from promptcrafter.slugs import derive_slug, is_slug, make_unique
from promptcrafter.workspaces import audit, quota
from promptcrafter.workspaces.access import (
    find_resources,
    get_resource,
    in_current_workspace,
    not_found,
    refuse_inaccessible,
    refuse_malformed,
)
from promptcrafter.workspaces.principal import Principal

_CHANGEABLE = ("title", "description", *VERSIONED, "slug")
_AUDITED = (*_CHANGEABLE, "tags")
_SLUGS_PER_QUERY = 1000  # SQLite allows 32,766 parameters in a statement


def get_newest_titles(principal: Principal, count: int) -> Sequence[Row[str, str]]:
    """Return `id` and `title` of the principal's newest prompts, at most `count`."""
    newest = find_resources(principal, Prompt).with_only_columns(Prompt.id, Prompt.title)
    return session.execute(newest.order_by(Prompt.created_at.desc(), Prompt.seq.desc()).limit(count)).all()


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


def get_workspace_ids(principal: Principal, prompt_ids: Iterable[str]) -> list[str]:
    """Return the ids of the workspaces of prompts, in their order; for an unknown prompt that of the current one."""
    ids = list(prompt_ids)
    known = get_latest_numbers({prompt_id for prompt_id in ids if is_well_formed("prompt", prompt_id)})
    return [known.get(prompt_id, (principal.current_id, 0))[0] for prompt_id in ids]


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
    insert_version(principal, prompt, values.get("comment"))
    session.add(SearchText(seq=prompt.seq, **search_text))
    audit.note(principal, prompt.workspace_id, "prompt.create", "prompt", prompt.id, prompt.title)
    session.flush()
    return prompt


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
        refuse_protected_labels(principal, prompt, prompt.labels)
    quota.check_growth(prompt.workspace_id)
    version_before = list(versioned_columns(prompt).values())
    searched_before = (prompt.title, prompt.tags, prompt.content)
    before = {name: getattr(prompt, name) for name in changes if name in _AUDITED}
    for name in _CHANGEABLE:
        if name in changes and not jsonio.is_same(getattr(prompt, name), changes[name]):
            setattr(prompt, name, changes[name])
    _flush_or_refuse_slug()
    if "tags" in changes:
        _set_tags(prompt, changes["tags"])
    prompt.updated_at = clock.now()
    if not jsonio.is_same(list(versioned_columns(prompt).values()), version_before):
        add_next_version(principal, prompt, changes.get("comment"))
    after = {name: getattr(prompt, name) for name in before if not jsonio.is_same(getattr(prompt, name), before[name])}
    if after:
        before = {name: before[name] for name in after}
        place, title = prompt.workspace_id, prompt.title
        audit.note(principal, place, "prompt.change", "prompt", prompt.id, title, before=before, after=after)
    if (prompt.title, prompt.tags, prompt.content) != searched_before:
        update_search_text(prompt)
    session.flush()


def has_all(prompt: Prompt, changes: Mapping[str, Any]) -> bool:
    """Return whether a prompt is already as changes would make it."""
    return all(jsonio.is_same(getattr(prompt, name), changes[name]) for name in changes if name != "comment")


def remove_prompt(principal: Principal, prompt: Prompt) -> None:
    """Delete a locked prompt with its versions, labels, tags, search text and logs; many are left to a purge.

    Raises 403 if one of its labels is protected from the principal.
    """
    refuse_protected_labels(principal, prompt, prompt.labels)
    audit.forget(prompt.id)
    audit.note(principal, prompt.workspace_id, "prompt.delete", "prompt", prompt.id)
    if not delete_or_defer(prompt):
        session.execute(delete(SearchText).where(SearchText.seq == prompt.seq))  # the search needs no condition
        session.execute(update(Prompt).where(Prompt.id == prompt.id).values(slug=Prompt.id))  # which is no slug


def lock_slugs(principal: Principal) -> None:
    """Lock the slugs of the current workspace until the commit, so that two transactions cannot choose the same one."""
    # not the workspace's row: a request with an Idempotency-Key refers to a member already, and would wait for one
    # who removes the member
    lock_name(f"slugs of {principal.workspace_id}")


def _require(prompt: Prompt | None) -> Prompt:
    if prompt is None:
        raise not_found("prompt")
    return prompt


@contextmanager
def _explaining_slug(prompt_id: str) -> Iterator[None]:
    """Add a hint to an error raised in the block: if the id looks like a slug, say which call finds a prompt by it."""
    try:
        yield
    except Problem as problem:
        problem.details = _explain_slug(prompt_id) or problem.details
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
    return make_unique(slug, taken)
