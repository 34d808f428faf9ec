"""Names of versions of a prompt: a number, a label, or `latest`. Pure functions, and the errors about such names."""

import re

from promptcrafter.problems import Invalid, Problem
from promptcrafter.text import LABEL_PATTERN, shorten

LATEST = "latest"  # selects the newest version of a prompt, as a label would
LABEL_RULE = f"must match {LABEL_PATTERN} and not be {LATEST}"


def is_label(name: str) -> bool:
    """Return whether a text may be the name of a label."""
    return name != LATEST and re.fullmatch(LABEL_PATTERN, name) is not None


def choose_number(version: int | str, latest: int, labelled: int | None) -> int | None:
    """Return the number of the version that a number, a label or `latest` names, None if the prompt has none such.

    `latest` is the number of the prompt's newest version, `labelled` that of the version with the label `version`.
    """
    if version == LATEST:
        return latest
    if isinstance(version, str):
        return labelled
    return version if 0 < version <= latest else None


def not_a_version(version: int | str, latest: int) -> str:
    """Return the reason, for a field, why a number or label is not a version of a prompt whose latest one is given."""
    if isinstance(version, str):
        return f"must be a version of the prompt, which has no label {version}; the latest is {latest}"
    return f"must be a version of the prompt; the latest is {latest}"


def version_not_found(name: str) -> Problem:
    """Return the error 404 for a version, which tells by what name it was asked for."""
    details = {"version": [f"{shorten(name)} is neither the number nor a label of a version of this prompt"]}
    return Problem(404, "Version not found", "version_not_found", details=details)


def refuse_label(name: str, field: str) -> None:
    """Raise 400 unless `name`, the value of this field, is a valid label."""
    if not is_label(name):
        raise Invalid({field: [LABEL_RULE]})
