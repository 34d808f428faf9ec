"""Two versions of a prompt side by side."""

from typing import Any

from promptcrafter.pages.version_diff import Row, align
from promptcrafter.prompts.messages import flatten
from promptcrafter.prompts.models import Version
from promptcrafter.word_diff import Change


def chat(*messages: dict[str, Any]) -> Version:
    return Version(content=flatten(messages), messages=list(messages))


def text(content: str) -> Version:
    return Version(content=content, messages=None)


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


SYSTEM = {"role": "system", "content": "Be kind.", "name": "house"}


def test_texts_are_one_row() -> None:
    (row,) = align(text("one two"), text("one three"))
    assert row == Row("", "", [Change("equal", "one "), Change("delete", "two"), Change("insert", "three")])
    assert not row.is_equal
    assert align(text("same"), text("same"))[0].is_equal


def test_a_text_and_messages_are_compared_as_texts() -> None:
    (row,) = align(text("user:\nHello"), chat(user("Hello")))
    assert row.is_equal


def test_messages_stand_beside_those_that_they_were_made_of() -> None:
    rows = align(
        chat(SYSTEM, user("one"), user("two"), user("last")),
        chat(SYSTEM, user("one more"), {"placeholder": "past"}, user("two"), user("last"), user("new")),
    )
    heads = [(row.before, row.after, row.is_equal) for row in rows]
    assert heads == [
        ("system · house", "system · house", True),
        ("user", "user", False),
        (None, "messages inserted here", False),
        ("user", "user", True),
        ("user", "user", True),
        (None, "user", False),
    ]
    assert rows[-1].changes == [Change("insert", "new")]
    removed = align(chat(user("a"), user("b")), chat(user("b")))
    assert [(row.before, row.after) for row in removed] == [("user", None), ("user", "user")]


def test_each_message_of_both_sides_is_in_one_row() -> None:
    texts = [f"message {number}" for number in range(30)]
    before = chat(*map(user, texts[:20]))
    after = chat(*map(user, [*texts[5:9], "new", *texts[12:25], "newer"]))
    rows = align(before, after)
    for version, side, op in ((before, 0, "delete"), (after, 1, "insert")):
        shown = [
            "".join(change.text for change in row.changes if change.op in ("equal", op)) for row in rows if row[side]
        ]
        assert shown == [message["content"] for message in version.messages or ()]


def test_many_changed_messages_are_compared_as_one_text() -> None:
    assert len(align(chat(*map(user, "abc" * 20)), chat(*map(user, "def" * 20)))) == 1
