"""OpenInference's instrumentation of the package `openai`, with a user and a session."""

from contextlib import contextmanager

import openai_calls
import tracing
from openinference.instrumentation import using_attributes


@contextmanager
def within(name):
    named = using_attributes(session_id=f"session-{name}", user_id="ada", metadata={"case": name})
    with tracing.tracer.start_as_current_span(name), named:
        yield


openai_calls.run(within)
