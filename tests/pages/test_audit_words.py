"""The audit trail in words."""

from typing import Any

import pytest

from promptcrafter.pages.audit_words import write_action, write_value
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
