"""Prompts and versions as programs fetch them at run time: each with one statement.

The entity tag is that of the row, so that a program learns that what it has is still current before anything is parsed
(decision 48).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, Text, and_, bindparam, select, type_coerce

from promptcrafter.auth.models import DELETED_ACCOUNT, User
from promptcrafter.database.base import Base, JsonText
from promptcrafter.database.compiled import CompiledQuery
from promptcrafter.database.deletions import is_present
from promptcrafter.database.json_rows import JsonRows
from promptcrafter.http.etags import etag_of
from promptcrafter.prompts.models import Label, Prompt, Tag, Version
from promptcrafter.prompts.store import refuse_malformed_id
from promptcrafter.prompts.version_names import LATEST, version_not_found
from promptcrafter.text import LABEL_PATTERN
from promptcrafter.workspaces.access import not_found, refuse_inaccessible
from promptcrafter.workspaces.principal import Principal

_PROMPTS, _VERSIONS, _LABELS, _TAGS, _USERS = (
    Base.metadata.tables[model.__tablename__] for model in (Prompt, Version, Label, Tag, User)
)
_Row = Sequence[Any]
_Key = Literal["id", "slug"]
_Named = Literal["number", "label", "latest"]


@dataclass(frozen=True)
class _Fetched:
    """A row as the database has it: texts, numbers and times."""

    row: _Row
    columns: Sequence[str]

    @property
    def tag(self) -> str:
        """The entity tag of what is shown of it, without quotes."""
        return etag_of(self.row)

    def load(self) -> SimpleNamespace:
        """Return the attributes that the schema of the response reads."""
        values = dict(zip(self.columns, self.row, strict=True))
        for name in ("created_at", "updated_at"):
            if isinstance(values.get(name), str):  # on SQLite
                values[name] = datetime.fromisoformat(values[name])
        values["config"] = json.loads(values["config"])
        values["type"] = "text" if values["messages"] is None else "chat"
        values["messages"] = None if values["messages"] is None else json.loads(values["messages"])
        values["labels"] = sorted(name for name, *_ in json.loads(values["labels"] or "[]"))
        return SimpleNamespace(**values)


class FetchedPrompt(_Fetched):
    """The row of a prompt, with its tags and with its labels and their versions."""

    def load(self) -> SimpleNamespace:
        """Return the attributes of a `models.Prompt` that `schemas.PromptOut` reads."""
        prompt = super().load()
        prompt.tags = [name for _, name in sorted(json.loads(prompt.tags or "[]"))]
        return prompt


class FetchedVersion(_Fetched):
    """The row of a version, with its labels and the name of its author."""

    def load(self) -> SimpleNamespace:
        """Return the attributes of a `models.Version` that `schemas.VersionOut` reads."""
        version = super().load()
        version.author = {"user_id": version.author_id, "name": version.author_name or DELETED_ACCOUNT}
        return version


def get_prompt(principal: Principal, prompt_id: str) -> FetchedPrompt:
    """Return the principal's prompt. Raises as `store.get_prompt` does."""
    refuse_malformed_id(prompt_id)
    row = _prompt_query("id").first(id=prompt_id)
    return FetchedPrompt(_require_access(principal, row, prompt_id), _PROMPT_COLUMNS)


def get_prompt_by_slug(principal: Principal, slug: str) -> FetchedPrompt:
    """Return the prompt of the current workspace with this slug. Raises 404 if there is none."""
    row = _prompt_query("slug").first(workspace_id=principal.workspace_id, slug=slug)
    return FetchedPrompt(_require_access(principal, row), _PROMPT_COLUMNS)


def read_prompt(prompt_id: str) -> FetchedPrompt:
    """Return a locked prompt, as it is inside the transaction of the request. Flush the session before.

    Raises 404 if its workspace was deleted meanwhile.
    """
    row = _prompt_query("id").first(id=prompt_id)
    if row is None:
        raise not_found("prompt")
    return FetchedPrompt(row, _PROMPT_COLUMNS)


def get_version(principal: Principal, prompt_id: str, name: str) -> FetchedVersion:
    """Return the version that a number, a label or `latest` names. Raises as `get_prompt` does, and 404."""
    refuse_malformed_id(prompt_id)
    return _get_version(principal, name, "id", id=prompt_id)


def get_version_by_slug(principal: Principal, slug: str, name: str) -> FetchedVersion:
    """Return the version that a number, a label or `latest` names. Raises 404."""
    return _get_version(principal, name, "slug", workspace_id=principal.workspace_id, slug=slug)


def _get_version(principal: Principal, name: str, key: _Key, **parameters: str) -> FetchedVersion:
    named: _Named = "number"
    value: dict[str, Any] = {"number": 0}  # no version has it
    if name == LATEST:
        named, value = "latest", {}
    elif re.fullmatch("[1-9][0-9]{0,8}", name):
        value = {"number": int(name)}
    elif re.fullmatch(LABEL_PATTERN, name):
        named, value = "label", {"label": name}
    row = _require_access(principal, _version_query(key, named).first(**parameters, **value), parameters.get("id", ""))
    version = FetchedVersion(row, _VERSION_COLUMNS)
    if row[_VERSION_COLUMNS.index("number")] is None:
        raise version_not_found(name)
    return version


def _require_access(principal: Principal, row: _Row | None, prompt_id: str = "") -> _Row:
    """Return a row that begins with the id of the workspace. Raises 404 if it is None, and 403."""
    if row is None:
        raise not_found("prompt")
    refuse_inaccessible(principal, "prompt", row[0], prompt_id)
    return row


def _raw(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a column whose value is the text that is stored."""
    return type_coerce(column, Text).label(column.key) if isinstance(column.type, JsonText) else column


_SHOWN_OF_PROMPT: Sequence[ColumnElement[Any]] = (
    _PROMPTS.c.workspace_id,
    *map(_raw, (column for column in _PROMPTS.c if column.key not in ("workspace_id", "seq"))),
    select(JsonRows(_TAGS.c.position, _TAGS.c.name))
    .where(_TAGS.c.prompt_id == _PROMPTS.c.id)
    .scalar_subquery()
    .label("tags"),
    select(JsonRows(_LABELS.c.name, _LABELS.c.version))
    .where(_LABELS.c.prompt_id == _PROMPTS.c.id)
    .scalar_subquery()
    .label("labels"),
)
_SHOWN_OF_VERSION: Sequence[ColumnElement[Any]] = (
    _PROMPTS.c.workspace_id,
    *map(_raw, _VERSIONS.c),
    select(_USERS.c.name).where(_USERS.c.id == _VERSIONS.c.author_id).scalar_subquery().label("author_name"),
    select(JsonRows(_LABELS.c.name))
    .where(_LABELS.c.prompt_id == _VERSIONS.c.prompt_id, _LABELS.c.version == _VERSIONS.c.number)
    .scalar_subquery()
    .label("labels"),
)
_PROMPT_COLUMNS, _VERSION_COLUMNS = (
    [str(column.key) for column in shown] for shown in (_SHOWN_OF_PROMPT, _SHOWN_OF_VERSION)
)


def _found_by(statement: Select[Any], key: _Key) -> Select[Any]:
    """Return the statement for the prompt with the id, or with the slug in the workspace, that the parameters name."""
    statement = statement.where(is_present(Prompt))
    if key == "id":
        return statement.where(_PROMPTS.c.id == bindparam("id"))
    of_workspace = _PROMPTS.c.workspace_id == bindparam("workspace_id")
    return statement.where(of_workspace, _PROMPTS.c.slug == bindparam("slug"))


@cache
def _prompt_query(key: _Key) -> CompiledQuery:
    return CompiledQuery(_found_by(select(*_SHOWN_OF_PROMPT), key))


@cache
def _version_query(key: _Key, named: _Named) -> CompiledQuery:
    """Return the query of a version, whose columns are None if the prompt exists, but not the version."""
    numbers: dict[_Named, Any] = {
        "number": bindparam("number"),
        "label": select(_LABELS.c.version)
        .where(_LABELS.c.prompt_id == _PROMPTS.c.id, _LABELS.c.name == bindparam("label"))
        .correlate(_PROMPTS)
        .scalar_subquery(),
        "latest": _PROMPTS.c.version,
    }
    is_meant = and_(_VERSIONS.c.prompt_id == _PROMPTS.c.id, _VERSIONS.c.number == numbers[named])
    statement = select(*_SHOWN_OF_VERSION).select_from(_PROMPTS.outerjoin(_VERSIONS, is_meant))
    return CompiledQuery(_found_by(statement, key))
