"""Prompts in the database. What writes here belongs inside `transactions.writing()`."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, delete, or_, select, update
from sqlalchemy.orm import defer
from sqlalchemy.orm.attributes import set_committed_value

from promptcrafter import clock
from promptcrafter.auth.models import User
from promptcrafter.database.base import Base
from promptcrafter.database.compiled import CompiledQuery
from promptcrafter.database.errors import translating
from promptcrafter.database.session import request_connection, session
from promptcrafter.ids import is_well_formed, new_id
from promptcrafter.problems import Invalid, Problem
from promptcrafter.prompts.models import Label, Prompt, SearchText, Tag, Version
from promptcrafter.prompts.search import search_columns

LABEL_PATTERN = r"[A-Za-z][A-Za-z0-9._-]{0,63}"
LATEST = "latest"  # the name that every prompt's newest version answers to
_SLUGS_AT_ONCE = 1000  # a statement takes no more than 32,766 parameters
_DERIVED_SLUG_MAX = 100  # characters; leaves room for a number behind
_PROMPTS = Base.metadata.tables["prompts"]
# Every log and list of logs asks one of these
_LATEST_NUMBER = CompiledQuery(
    select(_PROMPTS.c.id, _PROMPTS.c.owner_id, _PROMPTS.c.version).where(_PROMPTS.c.id == bindparam("id"))
)
_LATEST_NUMBERS = select(_PROMPTS.c.id, _PROMPTS.c.owner_id, _PROMPTS.c.version).where(
    _PROMPTS.c.id.in_(bindparam("ids", expanding=True))
)


def find_prompts(owner_id: str, filters: Mapping[str, Any]) -> Select[Prompt]:
    """Return the owner's prompts, those of a `model` or with a `tag` if the filters say so."""
    found = select(Prompt).where(Prompt.owner_id == owner_id)
    if "model" in filters:
        found = found.where(Prompt.model == filters["model"])
    if "tag" in filters:
        found = found.where(Prompt.tag_rows.any(Tag.name == filters["tag"]))
    return found


def get_prompts(owner_id: str, filters: Mapping[str, Any]) -> Sequence[Prompt]:
    """Return the owner's prompts as `find_prompts` does, newest first, their content left aside."""
    found = find_prompts(owner_id, filters).options(defer(Prompt.content))
    return session.scalars(found.order_by(Prompt.created_at.desc(), Prompt.seq.desc())).all()


def get_prompt(prompt_id: str, owner_id: str) -> Prompt:
    """Return the owner's prompt. Raises 400 for a malformed id, 404 for an unknown one, 403 for another's."""
    _refuse_malformed(prompt_id)
    return _owned(session.scalar(select(Prompt).where(Prompt.id == prompt_id)), owner_id)


def get_latest_number(prompt_id: str, owner_id: str) -> int:
    """Return the number of the latest version of the owner's prompt. Raises as `get_prompt` does."""
    _refuse_malformed(prompt_id)
    found_owner_id, number = get_latest_numbers([prompt_id]).get(prompt_id, (None, 0))
    if found_owner_id is None:
        raise prompt_not_found()
    if found_owner_id != owner_id:
        raise prompt_not_owned()
    return number


def get_latest_numbers(prompt_ids: Collection[str]) -> dict[str, tuple[str, int]]:
    """Return owner and latest version's number of those of the prompts that exist, by id."""
    rows: Iterable[Any]
    if len(prompt_ids) == 1:
        rows = filter(None, [_LATEST_NUMBER.first(id=next(iter(prompt_ids)))])
    else:
        rows = request_connection().execute(_LATEST_NUMBERS, {"ids": list(prompt_ids)})
    return {prompt_id: (owner_id, number) for prompt_id, owner_id, number in rows}


def get_prompts_by_slug(slugs: Collection[str], owner_id: str) -> dict[str, Prompt]:
    """Return those of the owner's prompts that have one of the slugs, by slug."""
    names = sorted(slugs)
    found: list[Prompt] = []
    for start in range(0, len(names), _SLUGS_AT_ONCE):
        some = names[start : start + _SLUGS_AT_ONCE]
        found += session.scalars(select(Prompt).where(Prompt.owner_id == owner_id, Prompt.slug.in_(some)))
    return {prompt.slug: prompt for prompt in found}


def prompt_not_found() -> Problem:
    """Make the 404 of a prompt."""
    return Problem(404, "Prompt not found", "prompt_not_found")


def prompt_not_owned() -> Problem:
    """Make the 403 of a prompt."""
    return Problem(403, "You do not own this prompt", "prompt_not_owned")


def add_prompt(owner_id: str, values: Mapping[str, Any], search_text: Mapping[str, str]) -> Prompt:
    """Insert a prompt with its first version and the text to find it by. Raises 409 when the slug sent is taken."""
    lock_library(owner_id)
    now = clock.now()
    prompt = Prompt(
        id=new_id("prompt"),
        owner_id=owner_id,
        slug=values.get("slug") or _free_slug(owner_id, values["title"]),
        title=values["title"],
        content=values["content"],
        model=values["model"],
        created_at=now,
        updated_at=now,
    )
    for rows in ("label_rows", "tag_rows"):  # a new prompt has none: spare the look
        set_committed_value(prompt, rows, [])
    _set_tags(prompt, values.get("tags", []))
    session.add(prompt)
    _flush_slug()
    _add_version(prompt, owner_id)
    session.add(SearchText(seq=prompt.seq, **search_text))
    session.flush()
    return prompt


def derive_slug(title: str) -> str:
    """Return the slug that a title suggests; somebody may have it."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain)[:_DERIVED_SLUG_MAX].strip("-") or "prompt"


def lock_prompt(prompt_id: str, owner_id: str) -> Prompt:
    """Return the owner's prompt as `get_prompt` does, and let nobody else change it until the commit."""
    _refuse_malformed(prompt_id)
    return _owned(session.scalar(select(Prompt).where(Prompt.id == prompt_id).with_for_update()), owner_id)


def lock_prompt_by_slug(slug: str, owner_id: str) -> Prompt:
    """Return the owner's prompt of that slug, locked as by `lock_prompt`. Raises 404 when there is none."""
    found = select(Prompt).where(Prompt.owner_id == owner_id, Prompt.slug == slug).with_for_update()
    return _owned(session.scalar(found), owner_id)


def change_prompt(prompt: Prompt, changes: Mapping[str, Any]) -> None:
    """Apply changes; a new content or model makes a new version. Raises 409 when the slug sent is taken."""
    before = (prompt.content, prompt.model)
    searched = (prompt.title, prompt.tags, prompt.content)
    for name in ("title", "content", "model", "slug"):
        if name in changes:
            setattr(prompt, name, changes[name])
    _flush_slug()
    if "tags" in changes:
        _set_tags(prompt, changes["tags"])
    prompt.updated_at = clock.now()
    if (prompt.content, prompt.model) != before:
        _advance(prompt, prompt.owner_id)
    if (prompt.title, prompt.tags, prompt.content) != searched:
        reindex(prompt)


def remove_prompt(prompt: Prompt) -> None:
    """Delete a prompt with all that hangs on it; the database's foreign keys take the logs along."""
    session.execute(delete(Prompt).where(Prompt.id == prompt.id))


def find_versions(prompt: Prompt) -> Select[Version]:
    """Return every version of a prompt."""
    return select(Version).where(Version.prompt_id == prompt.id)


def get_version(prompt: Prompt, name: str) -> Version:
    """Return the version of that number, under that label, or the `latest`. Raises 404 when there is none."""
    if name == LATEST:
        name = str(prompt.version)
    if re.fullmatch("[1-9][0-9]{0,8}", name):
        found = find_versions(prompt).where(Version.number == int(name))
    elif not re.fullmatch(LABEL_PATTERN, name):
        raise version_not_found()
    else:
        on_label = (Label.prompt_id == Version.prompt_id) & (Label.version == Version.number)
        found = find_versions(prompt).join(Label, on_label).where(Label.name == name)
    version = session.scalar(found)
    if version is None:
        raise version_not_found()
    return version


def get_latest_version(prompt_id: str) -> Version | None:
    """Return the newest version of a prompt, if it still exists."""
    found = select(Version).where(Version.prompt_id == prompt_id)
    return session.scalar(found.order_by(Version.number.desc()).limit(1))


def version_not_found() -> Problem:
    """Make the 404 of a version."""
    return Problem(404, "Version not found", "version_not_found")


def restore_version(prompt: Prompt, version: Version, author_id: str) -> Version:
    """Make a new version equal to an old one."""
    prompt.content, prompt.model = version.content, version.model
    prompt.updated_at = clock.now()
    restored = _advance(prompt, author_id)
    reindex(prompt)
    return restored


def refuse_label(name: str, field: str) -> None:
    """Raise 400 about the field unless its value may be a label."""
    if name == LATEST or not re.fullmatch(LABEL_PATTERN, name):
        raise Invalid({field: [f"must match {LABEL_PATTERN} and not be {LATEST}"]})


def set_label(prompt: Prompt, name: str, number: int) -> None:
    """Put a label on a version, taking it from the one it sat on."""
    session.merge(Label(prompt_id=prompt.id, name=name, version=number))
    session.flush()
    session.expire(prompt, ["label_rows"])


def remove_label(prompt: Prompt, name: str) -> None:
    """Take a label away. Raises 404 when there is none of that name."""
    gone = delete(Label).where(Label.prompt_id == prompt.id, Label.name == name).returning(Label.name)
    if session.scalar(gone) is None:
        raise Problem(404, "Label not found", "label_not_found")


def _refuse_malformed(prompt_id: str) -> None:
    if not is_well_formed("prompt", prompt_id):
        raise Problem(400, "The prompt ID format is invalid.", "invalid_prompt_id")


def _owned(found: Prompt | None, owner_id: str) -> Prompt:
    if found is None:
        raise prompt_not_found()
    if found.owner_id != owner_id:
        raise prompt_not_owned()
    return found


def lock_library(owner_id: str) -> None:
    """Let one transaction at a time choose slugs for an owner (SQLite's write lock does so by itself)."""
    # a key share: rows that point to the owner, such as logs, can still be inserted meanwhile
    session.execute(select(User.id).where(User.id == owner_id).with_for_update(key_share=True))


def _advance(prompt: Prompt, author_id: str) -> Version:
    """Make what the prompt says now its next version."""
    prompt.version += 1
    return _add_version(prompt, author_id)


def _add_version(prompt: Prompt, author_id: str) -> Version:
    version = Version(
        prompt_id=prompt.id,
        number=prompt.version,
        content=prompt.content,
        model=prompt.model,
        created_at=prompt.updated_at,
        created_by=author_id,
    )
    set_committed_value(version, "label_names", None)
    session.add(version)
    return version


def reindex(prompt: Prompt) -> None:
    """Let a prompt be found by what it says now."""
    session.flush()
    columns = search_columns(prompt.title, prompt.tags, prompt.content)
    session.execute(update(SearchText).where(SearchText.seq == prompt.seq).values(**columns))


def _set_tags(prompt: Prompt, names: list[str]) -> None:
    if names != prompt.tags:
        prompt.tag_rows.clear()
        session.flush()  # deletes before inserts: the old rows have the new ones' keys
        prompt.tag_rows.extend(Tag(position=position, name=name) for position, name in enumerate(names))


def _flush_slug() -> None:
    with translating({"uq_prompts_owner_id_slug": lambda: Problem(409, "Slug already in use.", "slug_taken")}):
        session.flush()


def _free_slug(owner_id: str, title: str) -> str:
    """Derive a slug from the title, with `-2`, `-3` … when the owner has it already."""
    slug = derive_slug(title)
    family = or_(Prompt.slug == slug, Prompt.slug.startswith(f"{slug}-", autoescape=True))
    taken = set(session.scalars(select(Prompt.slug).where(Prompt.owner_id == owner_id, family)))
    return next(name for name in (slug, *(f"{slug}-{n}" for n in range(2, len(taken) + 3))) if name not in taken)
