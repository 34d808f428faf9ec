"""The labels of prompts in the database. Call the writing functions inside `transactions.writing()`."""

import re
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Select, delete, select

from promptcrafter.database.session import request_connection, session
from promptcrafter.problems import Invalid, Problem
from promptcrafter.prompts.models import LABELS_MAX, Label, Prompt
from promptcrafter.prompts.version_names import choose_number, not_a_version
from promptcrafter.text import LABEL_PATTERN
from promptcrafter.workspaces import audit, quota
from promptcrafter.workspaces.models import Workspace
from promptcrafter.workspaces.principal import Principal, is_owner, owner_needed


def get_labelled_numbers(names: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Return the numbers of the versions that labels are on, by (prompt id, label); unknown labels are left out."""
    if not names:
        return {}
    ids, labels = zip(*names, strict=True)
    statement = select(Label.prompt_id, Label.name, Label.version)
    statement = statement.where(Label.prompt_id.in_(set(ids)), Label.name.in_(set(labels)))
    return {(prompt_id, name): number for prompt_id, name, number in request_connection().execute(statement)}


def find_protected_labels(workspace_id: str) -> Select[list[str]]:
    """Return a select of the labels that only owners of a workspace may set, move and remove, as one list."""
    return select(Workspace.protected_labels).where(Workspace.id == workspace_id)


def get_protected_labels(workspace_id: str) -> list[str]:
    """Return the labels that only owners of an existing workspace may set, move and remove."""
    return session.scalars(find_protected_labels(workspace_id)).one()


def label_protected(principal: Principal, workspace_id: str, name: str) -> Problem:
    """Return the error 403 for a label that is protected from the principal."""
    return owner_needed(principal, workspace_id, f"the protected label {name}")


def refuse_protected_labels(principal: Principal, prompt: Prompt, labels: Sequence[str]) -> None:
    """Raise 403 if one of these labels is protected from the principal. For an owner it needs no query."""
    if labels and not is_owner(principal, prompt.workspace_id):
        protected = get_protected_labels(prompt.workspace_id)
        for name in labels:
            if name in protected:
                raise label_protected(principal, prompt.workspace_id, name)


def set_label(principal: Principal, prompt: Prompt, name: str, version: int | str) -> None:
    """Set a label on a version, given by number, label or `latest`, and remove it from the version that had it.

    Raises 403 if the label is protected from the principal, and 400 if the prompt has no such version, or as many
    labels as it can have. The prompt must be locked.
    """
    refuse_protected_labels(principal, prompt, [name])
    named = {row.name: row.version for row in prompt.label_rows}
    number = choose_number(version, prompt.version, named.get(str(version)))
    if number is None:
        raise Invalid({"version": [not_a_version(version, prompt.version)]})
    if name not in named and len(prompt.label_rows) >= LABELS_MAX:
        raise Invalid({"label": [f"must be one of those that the prompt has: there may be {LABELS_MAX:,}"]})
    before = {"version": named[name]} if name in named else None
    quota.check_growth(prompt.workspace_id)
    _note(principal, prompt, "label.set", name, before=before, after={"version": number})
    session.merge(Label(prompt_id=prompt.id, name=name, version=number))
    session.flush()
    session.expire(prompt, ["label_rows"])


def remove_label(principal: Principal, prompt: Prompt, name: str) -> None:
    """Remove a label of a prompt.

    Raises 403 if the label is protected from the principal, and 404 if the prompt does not have it.
    """
    refuse_protected_labels(principal, prompt, [name])
    removed = delete(Label).where(Label.prompt_id == prompt.id, Label.name == name).returning(Label.version)
    number = session.scalar(removed) if re.fullmatch(LABEL_PATTERN, name) else None
    if number is None:
        raise Problem(404, "Label not found", "label_not_found")
    _note(principal, prompt, "label.remove", name, before={"version": number})


def _note(principal: Principal, prompt: Prompt, action: str, label: str, **values: Any) -> None:
    """Add an entry to the audit trail about a label of a prompt."""
    audit.note(principal, prompt.workspace_id, action, "label", prompt.id, label, within_id=prompt.id, **values)
