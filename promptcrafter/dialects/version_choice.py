"""Which version of a prompt a client means by a number or a label. Pure functions.

Basalt calls a label a tag, and version 2 `2.0.0`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from promptcrafter.prompts.version_names import LATEST
from promptcrafter.text import shorten

PRODUCTION = "production"


@dataclass(frozen=True)
class Choice:
    """The number of the version that a client's reference resolves to; None if there is none.

    `tag` is the tag by which it was found. `warning` says what the reference names that does not exist.
    """

    number: int | None
    tag: str = ""
    warning: str | None = None


def choose_version(latest: int, labels: Mapping[str, int], version: str | None, tag: str | None) -> Choice:
    """Resolve a version and a tag, each of which may be None or empty, among the versions 1 to `latest`.

    The version takes precedence over the tag. Without either, or if what is named does not exist, the version with the
    label `production` is chosen.
    """
    missing = None
    if version:
        number = read_version(version)
        if number is not None and number <= latest:
            return Choice(number)
        missing = f"There is no version {shorten(version)} of the prompt"
    elif tag:
        if tag == LATEST or tag in labels:
            return Choice(latest if tag == LATEST else labels[tag], tag)
        missing = f"No version of the prompt has the tag {shorten(tag)}"
    if PRODUCTION in labels:
        return Choice(labels[PRODUCTION], PRODUCTION, f"{missing}: production stands in." if missing else None)
    return Choice(
        None, "", f"{missing}, and none has the tag production." if missing else "No version has the tag production."
    )


def read_version(version: str) -> int | None:
    """Return the number of a version written as `2.0.0`, `2.0` or `2`; None for any other text."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})(\.0){0,2}", version)
    return int(match[1]) if match else None


def write_version(number: int) -> str:
    """Return a version's number as Basalt writes it: `2.0.0`."""
    return f"{number}.0.0"
