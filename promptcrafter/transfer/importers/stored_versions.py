"""What a workspace has of a prompt that is imported again.

Earlier releases imported every prompt as a text without parameters. A version is never changed, so what was imported as
a text stays one, although this release would read messages from the same file.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from marshmallow import ValidationError, fields

from promptcrafter.prompts.fields import config_field, messages_field


class StoredVersion(NamedTuple):
    """The first version of a prompt in the workspace."""

    is_text: bool
    config: Mapping[str, Any]


# Returns the first versions of those of the prompts that exist, by prompt id
FindVersions = Callable[[Collection[str]], Mapping[str, StoredVersion]]


def find_none(ids: Collection[str]) -> Mapping[str, StoredVersion]:
    """Return nothing, for imports that refer to nothing in the workspace."""
    return {}


def read_messages(value: Any) -> list[dict[str, str]] | None:
    """Return a value from a file as the messages of a chat prompt, None if it does not have their shape."""
    messages: list[dict[str, str]] | None = _load(messages_field(), value)
    return messages


def read_config(value: Any) -> dict[str, Any] | None:
    """Return a value from a file as parameters, None if they could not be stored."""
    config: dict[str, Any] | None = _load(config_field(), value)
    return config


def _load(field: fields.Field[Any], value: Any) -> Any:
    try:
        return field.deserialize(value)
    except ValidationError:
        return None
