"""A run of an agent in 12 spans, by the SDK of OpenTelemetry alone, in the GenAI conventions: 3 are calls of a model.

Two are about HTTP and SQL, as other instrumentations add them.
"""

import json

import tracing


def span(name, **attributes):
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return tracing.tracer.start_as_current_span(name, attributes=named)


def call(question, answer):
    with (
        span(
            "chat gpt-4o-mini",
            gen_ai__operation__name="chat",
            gen_ai__provider__name="openai",
            gen_ai__request__model="gpt-4o-mini",
            gen_ai__request__temperature=0.5,
            gen_ai__response__model="gpt-4o-mini-2024-07-18",
            gen_ai__conversation__id="session-agent",
            gen_ai__usage__input_tokens=1200,
            gen_ai__usage__output_tokens=40,
            gen_ai__usage__cache_read__input_tokens=1000,
            gen_ai__system_instructions=json.dumps([{"type": "text", "content": "Be brief."}]),
            gen_ai__input__messages=messages("user", question),
            gen_ai__output__messages=messages("assistant", answer),
        ),
        span("POST", http__request__method="POST", url__full="https://api.openai.com/v1/chat/completions"),
    ):
        pass


def messages(role, text):
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


with span(
    "invoke_agent planner",
    gen_ai__operation__name="invoke_agent",
    gen_ai__request__model="gpt-4o-mini",
    gen_ai__usage__input_tokens=3600,
    gen_ai__usage__output_tokens=120,
    gen_ai__input__messages=messages("user", "Plan a day in Paris"),
    gen_ai__output__messages=messages("assistant", "Answer 3"),
    user__id="ada",
):
    for number, tool in enumerate(("weather", "sights", "trains"), start=1):
        call(f"Question {number}", f"Answer {number}")
        with span(f"execute_tool {tool}", gen_ai__operation__name="execute_tool", gen_ai__tool__name=tool):
            pass
    with span("embeddings", gen_ai__operation__name="embeddings", gen_ai__usage__input_tokens=9):
        pass
    with span("SELECT", db__system="postgresql"):
        pass
