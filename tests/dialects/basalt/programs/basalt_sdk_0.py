"""A program that uses Basalt's SDK 0.5 as its documentation shows, and prints the results.

Arguments: the service's URL and an API key.
"""

import asyncio
import json
import sys
from datetime import datetime, timedelta

from basalt import Basalt
from basalt.config import config

assert config["api_url"] == "http://localhost:3001", "where BASALT_BUILD=development points"
config["api_url"] = sys.argv[1]
basalt = Basalt(api_key=sys.argv[2], log_level="all")
seen = {}


def succeeded(result):
    error, *values = result
    assert error is None, error
    return values[0] if len(values) == 1 else values


prompts = succeeded(basalt.prompt.list_sync())
seen["prompts"] = [[p.slug, p.status, p.available_versions, p.available_tags] for p in prompts]
seen["of feature"] = [p.slug for p in succeeded(basalt.prompt.list_sync(feature_slug="support"))]
described = succeeded(basalt.prompt.describe_sync("bots/qa"))
seen["described"] = [described.name, described.variables]
tag = succeeded(basalt.prompt.publish_sync("bots/qa", new_tag="canary", version="2.0.0"))
seen["published"] = tag.label

# A prompt with a generation of its own
prompt, generation = succeeded(basalt.prompt.get_sync("bots/qa", variables={"question": "Why?"}))
seen["prompt"] = [prompt.text, prompt.version, prompt.tag, prompt.model.provider, prompt.model.model]
generation.end("Because.")
prompt, generation = succeeded(basalt.prompt.get_sync("bots/qa", tag="canary"))
seen["canary"] = [prompt.version, prompt.tag]
chat, _ = succeeded(basalt.prompt.get_sync("support", tag="latest", variables={"name": "Ada", "question": "Why?"}))
parameters = chat.model.parameters
seen["chat"] = [chat.system_text, chat.text, parameters.temperature, parameters.max_length, parameters.response_format]
error, *_ = basalt.prompt.get_sync("nowhere")
seen["unknown"] = [type(error).__name__, str(error)]

# A trace with nested spans and two generations, within an experiment
experiment = succeeded(basalt.monitor.create_experiment_sync("qa-flow", {"name": "Shorter answers"}))
seen["experiment"] = [experiment.id, experiment.name, experiment.feature_slug]
trace = basalt.monitor.create_trace("qa-flow", {"name": "a run", "experiment": experiment})
trace.start({"question": "Where?"})
trace.identify(user={"id": "u1", "name": "John"}, organization={})
trace.set_metadata({"session": 5})
trace.set_evaluation_config({"sample_rate": 0.5})
trace.add_evaluator({"slug": "polite"})
outer = trace.create_log({"type": "span", "name": "workflow"})
inner = outer.create_log({"type": "retrieval", "name": "look up"})
inner.start("Where?")
inner.end(["Paris", "London"])
first = inner.create_generation(
    {"name": "draft", "prompt": {"slug": "bots/qa", "version": "1.0.0", "tag": ""}, "variables": {"question": "Where?"}}
)
first.start("Answer Where?")
first.end("In Paris")
second = trace.create_generation(
    {"name": "final", "prompt": {"slug": "bots/qa", "tag": "canary"}, "ideal_output": "Paris"}
)
second.start("Answer Where? shortly")
second.end({"answer": "Paris"}, input_tokens=0, output_tokens=7, cost=0)
outer.update({"end_time": datetime.now() + timedelta(seconds=1)})
trace.end_sync("Paris")


async def asynchronously():
    seen["asynchronous"] = len(succeeded(await basalt.prompt.list()))
    later = basalt.monitor.create_trace("async-flow", {})
    later.start("hi")
    later.add_evaluator({"slug": "concise", "score": 0.75})
    only = later.create_generation({"name": "only"})
    only.start("hi")
    only.end("bye")
    await later.end("bye")


asyncio.run(asynchronously())
print(json.dumps(seen))
