"""The flattened text of messages, and that any messages are kept as they were sent."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptcrafter.prompts.fields import MESSAGE_NAME_MAX, messages_field
from promptcrafter.prompts.messages import ROLES, flatten

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
NAME = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=MESSAGE_NAME_MAX)
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": TEXT}, optional={"name": NAME})
MESSAGES = st.lists(MESSAGE | st.fixed_dictionaries({"placeholder": NAME}), min_size=1, max_size=8)


def test_each_message_is_its_role_and_content_between_blank_lines() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"placeholder": "history"},
        {"role": "user", "content": "One\n\ntwo {{x}}", "name": "Ada"},
        {"role": "assistant", "content": ""},
    ]
    assert flatten(messages) == ("system:\nBe brief.\n\n{{history}}\n\nuser (Ada):\nOne\n\ntwo {{x}}\n\nassistant:\n")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(MESSAGES)
def test_any_messages_load_as_they_were_sent(messages: list[dict[str, Any]]) -> None:
    loaded = messages_field().deserialize(messages)
    assert loaded == messages
    assert flatten(loaded) == flatten(messages)
    for message in messages:
        assert (message["content"] if "content" in message else message["placeholder"]) in flatten(messages)
