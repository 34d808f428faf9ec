"""The audit trail in words."""

from typing import Any

import pytest

from promptcrafter.pages.audit_words import list_changes, write_action, write_value
from promptcrafter.workspaces.schemas import ACTIONS


def test_every_action_has_words() -> None:
    assert [action for action in ACTIONS if write_action(action) == action] == []


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (None, "comment", "none"),
        (None, "scopes", "everything"),
        ([], "tags", "none"),
        ({}, "config", "none"),
        (True, "value", "yes"),
        (7.5, "value", "7.5"),
        ("ACTIVE", "status", "running"),
        ("ACTIVE", "title", "ACTIVE"),
        ("up", "direction", "higher"),
        ("invitation_01m8nqvk9wg10jy8r0v3dy1wk9", "invitationId", "…dy1wk9"),
        ([{"key": "a", "trafficPercent": 60}, {"key": "b", "trafficPercent": 40}], "variants", "a 60 %, b 40 %"),
        ([{"role": "user", "content": "Hello"}], "messages", "user: Hello"),
        ({"temperature": 0.2, "stop": ["a", "b"]}, "config", "temperature: 0.2, stop: a, b"),
    ],
)
def test_a_value_is_in_words(value: Any, name: str, expected: str) -> None:
    assert write_value(value, name) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, None, []),
        ({"name": "A", "status": "DRAFT"}, {"name": "A", "status": "ACTIVE"}, [("status", "DRAFT", "ACTIVE")]),
        (None, {"title": "A"}, [("title", None, "A")]),
        ({"role": "viewer"}, None, [("role", "viewer", None)]),
        ({"content": "[1]", "messages": [1]}, {"content": "[2]", "messages": [2]}, [("messages", [1], [2])]),
        (
            {"content": "a", "messages": None},
            {"content": "[2]", "messages": [2]},
            [("content", "a", "[2]"), ("messages", None, [2])],
        ),
        (
            {"variants": [{"key": "a", "trafficPercent": 50}, {"key": "b", "trafficPercent": 50}]},
            {"variants": [{"key": "a", "trafficPercent": 50}, {"key": "c", "trafficPercent": 40}]},
            [("variant b", "50 %", None), ("variant c", None, "40 %")],
        ),
        (
            {"variants": [{"key": "a", "trafficPercent": 50, "promptId": "prompt_0123456789", "promptVersion": 1}]},
            {"variants": [{"key": "a", "trafficPercent": 50, "promptId": "prompt_0123456789", "promptVersion": 2}]},
            [("variant a", "version 1", "version 2")],
        ),
        (
            {"variants": [{"key": "a", "trafficPercent": 50}]},
            {"variants": [{"key": "a", "trafficPercent": 60, "promptId": "prompt_0123456789", "promptVersion": 2}]},
            [("variant a", "50 %, no version", "60 %, version 2 of prompt …456789")],
        ),
        ({"variants": "[{"}, {"variants": '[{"'}, [("variants", None, "changed")]),
    ],
)
def test_only_what_was_changed_is_listed(before: Any, after: Any, expected: list[Any]) -> None:
    changes = list_changes(before, after)
    assert [(each["name"], each.get("before"), each.get("after")) for each in changes] == expected
