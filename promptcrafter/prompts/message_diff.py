"""What differs between the messages and between the parameters of two versions. Pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

from promptcrafter.jsonio import dumps, is_same
from promptcrafter.matching import Budget, match
from promptcrafter.prompts.messages import Message

Kind = Literal["added", "removed", "changed"]

_MAX_STEPS = 300_000  # enough for 200 messages on each side


class Place(NamedTuple):
    """A message's position among those of its version, from 0, and its role; `placeholder` for a placeholder."""

    position: int
    role: str


class MessageChange(NamedTuple):
    """A message that was added, removed or changed; where it is in each version, None if it is not."""

    change: Kind
    before: Place | None
    after: Place | None


def compare_messages(before: Sequence[Message], after: Sequence[Message]) -> list[MessageChange]:
    """Return the differences in the order of the messages.

    Between messages that both versions have, one that was removed and one that was added are paired in their order, as
    one that was changed.
    """
    pairs = match(list(map(dumps, before)), list(map(dumps, after)), Budget(_MAX_STEPS))
    changes = []
    start = other_start = 0
    for end, other_end in (*pairs, (len(before), len(after))):
        old = (_place(before, position) for position in range(start, end))
        new = (_place(after, position) for position in range(other_start, other_end))
        for left, right in zip_longest(old, new):
            kind: Kind = "added" if left is None else "removed" if right is None else "changed"
            changes.append(MessageChange(kind, left, right))
        start, other_start = end + 1, other_end + 1
    return changes


def _place(messages: Sequence[Message], position: int) -> Place:
    return Place(position, messages[position].get("role", "placeholder"))


def compare_configs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each key whose values differ, with the `change`, and with `before` and `after` as far as they exist."""
    for key in dict.fromkeys((*before, *after)):
        if key not in after:
            yield {"key": key, "change": "removed", "before": before[key]}
        elif key not in before:
            yield {"key": key, "change": "added", "after": after[key]}
        elif not is_same(before[key], after[key]):
            yield {"key": key, "change": "changed", "before": before[key], "after": after[key]}
