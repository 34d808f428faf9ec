"""Langfuse's SDK for Python, 3 to 5, writes, fetches and labels prompts, and scores what it has sent before and after.

The environment has LANGFUSE_BASE_URL (LANGFUSE_HOST), LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY. Prints what it saw
as JSON, and what the SDK itself has logged at the level WARNING or above.
"""

import json
import logging

from langfuse import Langfuse

logged = []


class Collector(logging.Handler):
    """Keeps what the SDK and the exporter of OpenTelemetry log."""

    def emit(self, record):
        if record.levelno >= logging.WARNING:
            logged.append(f"{record.name}: {record.getMessage()}")


for name in ("langfuse", "opentelemetry"):
    logging.getLogger(name).addHandler(Collector())

client = Langfuse()
seen = {"auth": client.auth_check()}

created = client.create_prompt(
    name="Movie critic",
    prompt="Criticise {{movie}}.",
    labels=["production"],
    tags=["film"],
    config={"model": "gpt-4o", "temperature": 0.2},
    commit_message="First draft",
)
seen["created"] = [created.name, created.version, created.labels, created.tags, created.config, created.commit_message]
client.create_prompt(name="Movie critic", prompt="Criticise {{movie}} in a line.", labels=["staging"])
text = client.get_prompt("Movie critic")
seen["text"] = [text.version, text.compile(movie="Dune"), text.labels, text.variables, text.is_fallback]
seen["by_version"] = client.get_prompt("Movie critic", version=2).prompt
seen["by_label"] = [client.get_prompt("Movie critic", label=label).version for label in ("staging", "latest")]
client.update_prompt(name="Movie critic", version=2, new_labels=["production"])
seen["moved"] = client.get_prompt("Movie critic", cache_ttl_seconds=0).version

client.create_prompt(
    name="support/reply",
    type="chat",
    prompt=[
        {"role": "system", "content": "You answer as {{company}}."},
        {"type": "placeholder", "name": "history"},
        {"role": "user", "content": "{{question}}"},
    ],
    labels=["production"],
)
chat = client.get_prompt("support/reply", type="chat")
history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
seen["chat"] = chat.compile(company="Acme", question="Why?", history=history)

before = len(logged)
fallback = client.get_prompt("nowhere", fallback="Fall back on {{x}}", max_retries=0)
seen["fallback"] = [fallback.is_fallback, fallback.compile(x="this")]
seen["warned"] = logged[before:]
del logged[before:]

with client.start_as_current_observation(name="run", as_type="span") as run:
    trace_id = client.get_current_trace_id()
    with client.start_as_current_observation(
        name="answer", as_type="generation", model="gpt-4o", input="Dune?", prompt=text
    ) as generation:
        generation.update(output="Sandy.", usage_details={"input": 12, "output": 3})
        # arrives before its span, which is not exported yet
        client.create_score(
            trace_id=trace_id, observation_id=generation.id, name="early", value=0.5, comment="before", score_id="s1"
        )
        client.score_current_span(name="tone", value="dry", data_type="CATEGORICAL")
    run.score_trace(name="solved", value=True, data_type="BOOLEAN")
client.flush()
client.create_score(trace_id=trace_id, observation_id=generation.id, name="late", value=1, data_type="NUMERIC")
client.create_score(  # sent again, it replaces itself
    trace_id=trace_id, observation_id=generation.id, name="early", value=0.75, score_id="s1"
)
client.create_score(trace_id=trace_id, name="overall", value=0.9)
client.flush()
seen["trace"], seen["observation"] = trace_id, generation.id
client.shutdown()
seen["logged"] = logged
print(json.dumps(seen))
