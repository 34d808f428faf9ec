"""Two versions of a prompt side by side: their texts, or their messages in pairs. Pure functions."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from promptcrafter.prompts.message_diff import MessageChange, compare_messages
from promptcrafter.prompts.messages import Message
from promptcrafter.prompts.models import Version
from promptcrafter.word_diff import Change, compare

_PAIRS_MAX = 40  # that are compared word by word; more of them are compared as one text


class Row(NamedTuple):
    """A text or message of one version beside that of the other; None where one version has nothing.

    A heading is the role of a message, "" for a text. Equal rows have one equal change.
    """

    before: str | None
    after: str | None
    changes: Sequence[Change]

    @property
    def is_equal(self) -> bool:
        """Whether both sides are the same."""
        return self.before == self.after and all(change.op == "equal" for change in self.changes)


def align(before: Version, after: Version) -> list[Row]:
    """Return the rows of two versions: one for texts, one for each pair of messages of chat prompts."""
    if before.messages is None or after.messages is None:
        return [Row("", "", compare(before.content, [after.content])[0])]
    changes = compare_messages(before.messages, after.messages)
    pairs = sum(change.change == "changed" for change in changes)
    if pairs > _PAIRS_MAX:
        return [Row("", "", compare(before.content, [after.content])[0])]
    return list(_each_row(before.messages, after.messages, changes, max(1, pairs)))


def _each_row(
    before: Sequence[Message], after: Sequence[Message], changes: Sequence[MessageChange], pairs: int
) -> Iterator[Row]:
    start = other_start = 0
    for change in changes:
        # what is equal before a change is as long on both sides, and one side says where the change is
        if change.before is not None:
            equal = change.before.position - start
        else:
            equal = change.after.position - other_start if change.after is not None else 0
        yield from map(_equal_row, before[start : start + equal])
        start, other_start = start + equal, other_start + equal
        old = before[start] if change.before is not None else None
        new = after[other_start] if change.after is not None else None
        if old is not None and new is not None:
            yield Row(_head(old), _head(new), compare(_text(old), [_text(new)], share=pairs)[0])
        elif old is not None:
            yield Row(_head(old), None, [Change("delete", _text(old))])
        elif new is not None:
            yield Row(None, _head(new), [Change("insert", _text(new))])
        start, other_start = start + (old is not None), other_start + (new is not None)
    yield from map(_equal_row, before[start:])


def _equal_row(message: Message) -> Row:
    return Row(_head(message), _head(message), [Change("equal", _text(message))])


def _head(message: Message) -> str:
    if "placeholder" in message:
        return "messages inserted here"
    return f"{message['role']} · {message['name']}" if "name" in message else str(message["role"])


def _text(message: Message) -> str:
    return str(message["placeholder"] if "placeholder" in message else message["content"])
