"""A program that reads prompts with Basalt's SDK 1; BASALT_API_URL names the service. It prints the results.

Argument: an API key.
"""

import asyncio
import json
import sys

from basalt import Basalt
from basalt.types.exceptions import NotFoundError, UnauthorizedError

basalt = Basalt(api_key=sys.argv[1], enable_telemetry=False)
seen = {}
prompts = basalt.prompts.list_sync()
seen["prompts"] = [[p.slug, p.name, p.status, p.available_versions, p.available_tags] for p in prompts]
seen["described"] = basalt.prompts.describe_sync("bots/qa").variables
with basalt.prompts.get_sync("bots/qa", variables={"question": "Why?"}) as prompt:
    seen["prompt"] = [prompt.text, prompt.version, prompt.tag, prompt.model.provider, prompt.model.model]
chat = basalt.prompts.get_sync("support", tag="latest", variables={"name": "Ada", "question": "Why?"})
parameters = chat.model.parameters
seen["chat"] = [prompts[0].description, chat.system_text, chat.text]
seen["chat"] += [parameters.temperature, parameters.max_length, parameters.response_format]
seen["first"] = basalt.prompts.get_sync("bots/qa", version="1.0.0").text
seen["published"] = basalt.prompts.publish_sync("bots/qa", new_tag="canary", version="1.0.0").label
seen["asynchronous"] = len(asyncio.run(basalt.prompts.list()))
seen["experiment"] = basalt.experiments.create_sync("qa-flow", "Shorter answers").feature_slug
try:
    basalt.prompts.get_sync("nowhere")
except NotFoundError as error:
    seen["unknown"] = str(error)
try:
    Basalt(api_key="pc_wrong", enable_telemetry=False).prompts.list_sync()
except UnauthorizedError as error:
    seen["stranger"] = str(error)
basalt.shutdown()
print(json.dumps(seen))
