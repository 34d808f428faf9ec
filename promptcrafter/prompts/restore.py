"""Prompts and versions that come from elsewhere, kept as they were.

What writes here belongs inside `transactions.writing()`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select

from promptcrafter.auth.principal import Principal
from promptcrafter.database.session import session
from promptcrafter.prompts.models import Label, Prompt, SearchText, Tag, Version
from promptcrafter.prompts.store import lock_library, reindex

_Rows = Sequence[Mapping[str, Any]]


def restore_prompts(
    principal: Principal, prompts: _Rows, versions: _Rows, search_texts: Sequence[Mapping[str, str]]
) -> None:
    """Insert prompts with their ids and times, and versions of them or of prompts that are there, in their order.

    A prompt says what the last of its versions says; each of those inserted has one at least. `search_texts` has the
    columns of each one's SearchText. A version brings its labels along, except where its prompt has them already. It
    has the time, in `updated_at`, at which its prompt last changed.
    """
    if not versions:
        return
    lock_library(principal)
    latest = {version["prompt_id"]: version for version in versions}
    added = {prompt["id"] for prompt in prompts}
    _insert_prompts(principal, prompts, latest, search_texts)
    columns = ("prompt_id", "number", "content", "model", "created_at")
    _insert(Version, ({"created_by": principal.user_id, **{name: row[name] for name in columns}} for row in versions))
    _insert_labels(versions)
    for prompt_id in latest.keys() - added:
        _advance(latest[prompt_id])


def _insert_prompts(
    principal: Principal,
    prompts: _Rows,
    latest: Mapping[str, Mapping[str, Any]],
    search_texts: Sequence[Mapping[str, str]],
) -> None:
    columns = ("id", "slug", "title", "created_at", "updated_at")
    _insert(
        Prompt,
        (
            {
                "owner_id": principal.user_id,
                **{name: prompt[name] for name in columns},
                **{name: latest[prompt["id"]][name] for name in ("content", "model")},
                "version": latest[prompt["id"]]["number"],
            }
            for prompt in prompts
        ),
    )
    found = select(Prompt.id, Prompt.seq).where(Prompt.id.in_([prompt["id"] for prompt in prompts]))
    places: dict[str, int] = dict(session.execute(found).all()) if prompts else {}
    _insert(
        SearchText,
        ({"seq": places[prompt["id"]], **text} for prompt, text in zip(prompts, search_texts, strict=True)),
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
    labelled = [version for version in versions if version["labels"]]
    found = select(Label.prompt_id, Label.name).where(Label.prompt_id.in_({row["prompt_id"] for row in labelled}))
    taken = {(prompt_id, name) for prompt_id, name in session.execute(found)} if labelled else set()
    _insert(
        Label,
        (
            {"prompt_id": version["prompt_id"], "name": name, "version": version["number"]}
            for version in labelled
            for name in version["labels"]
            if (version["prompt_id"], name) not in taken
        ),
    )


def _advance(version: Mapping[str, Any]) -> None:
    """Let a prompt that is there say what this version of it says."""
    prompt = session.scalars(select(Prompt).where(Prompt.id == version["prompt_id"]).with_for_update()).one()
    prompt.version, prompt.content, prompt.model = version["number"], version["content"], version["model"]
    prompt.updated_at = max(prompt.updated_at, version["updated_at"])
    reindex(prompt)


def _insert(model: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    rows = list(rows)
    if rows:
        session.execute(insert(model), rows)
