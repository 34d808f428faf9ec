"""Insertion of imported prompts and versions with their original ids and times.

Call these functions inside `transactions.writing()`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select

from promptcrafter.database.session import session
from promptcrafter.prompts.models import VERSIONED, Label, Prompt, SearchText, Tag, Version
from promptcrafter.prompts.store import lock_slugs
from promptcrafter.prompts.version_store import update_search_text
from promptcrafter.workspaces import quota
from promptcrafter.workspaces.principal import Principal

_Rows = Sequence[Mapping[str, Any]]


def restore_prompts(
    principal: Principal, prompts: _Rows, versions: _Rows, search_texts: Sequence[Mapping[str, str]]
) -> None:
    """Insert prompts with their ids and times, and versions of these or of existing prompts, in their order.

    Each new prompt has at least one version, and is in the state of the last one. `search_texts` has the
    values of a SearchText for each prompt. The labels of a version are inserted unless the prompt has them already. The
    `updated_at` of a version is the time of the last change of its prompt.
    """
    if not versions:
        return
    lock_slugs(principal)
    quota.check_growth(principal.workspace_id)
    latest = {version["prompt_id"]: version for version in versions}
    added = {prompt["id"] for prompt in prompts}
    _insert_prompts(principal, prompts, latest, search_texts)
    columns = ("prompt_id", "number", *VERSIONED, "created_at")
    _insert(
        Version,
        (
            {"author_id": principal.user_id, "comment": row.get("comment"), **{name: row[name] for name in columns}}
            for row in versions
        ),
    )
    _insert_labels(versions)
    for prompt_id in latest.keys() - added:
        _update_prompt(latest[prompt_id])


def _insert_prompts(
    principal: Principal,
    prompts: _Rows,
    latest: Mapping[str, Mapping[str, Any]],
    search_texts: Sequence[Mapping[str, str]],
) -> None:
    """Insert prompts with their tags and search texts; `latest` has the last version of each, by prompt id."""
    columns = ("id", "slug", "title", "description", "created_at", "updated_at")
    _insert(
        Prompt,
        (
            {
                "workspace_id": principal.workspace_id,
                "author_id": principal.user_id,
                **{name: prompt[name] for name in columns},
                **{name: latest[prompt["id"]][name] for name in VERSIONED},
                "version": latest[prompt["id"]]["number"],
            }
            for prompt in prompts
        ),
    )
    statement = select(Prompt.id, Prompt.seq).where(Prompt.id.in_([prompt["id"] for prompt in prompts]))
    sequence_numbers: dict[str, int] = dict(session.execute(statement).all()) if prompts else {}
    _insert(
        SearchText,
        ({"seq": sequence_numbers[prompt["id"]], **text} for prompt, text in zip(prompts, search_texts, strict=True)),
    )
    _insert(
        Tag,
        (
            {"prompt_id": prompt["id"], "position": position, "name": name}
            for prompt in prompts
            for position, name in enumerate(prompt["tags"])
        ),
    )


def _insert_labels(versions: _Rows) -> None:
    """Insert the labels of versions, except those that the prompt has already."""
    labelled = [version for version in versions if version["labels"]]
    statement = select(Label.prompt_id, Label.name).where(Label.prompt_id.in_({row["prompt_id"] for row in labelled}))
    existing = {(prompt_id, name) for prompt_id, name in session.execute(statement)} if labelled else set()
    _insert(
        Label,
        (
            {"prompt_id": version["prompt_id"], "name": name, "version": version["number"]}
            for version in labelled
            for name in version["labels"]
            if (version["prompt_id"], name) not in existing
        ),
    )


def _update_prompt(version: Mapping[str, Any]) -> None:
    """Set an existing prompt to the state of this version."""
    prompt = session.scalars(select(Prompt).where(Prompt.id == version["prompt_id"]).with_for_update()).one()
    for name in VERSIONED:
        setattr(prompt, name, version[name])
    prompt.version = version["number"]
    prompt.updated_at = max(prompt.updated_at, version["updated_at"])
    update_search_text(prompt)


def _insert(model: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    rows = list(rows)
    if rows:
        session.execute(insert(model), rows)
