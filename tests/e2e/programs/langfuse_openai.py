"""Langfuse's SDK and its wrapper of the package `openai`, with a user and a session."""

from contextlib import contextmanager

import langfuse.openai  # noqa: F401  wraps the package
import openai_calls
from langfuse import get_client, propagate_attributes

client = get_client()


@contextmanager
def within(name):
    with (
        client.start_as_current_observation(name=name, as_type="agent", input={"case": name}),
        propagate_attributes(session_id=f"session-{name}", user_id="ada", metadata={"case": name}),
    ):
        yield


openai_calls.run(within)
client.shutdown()
