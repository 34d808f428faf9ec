"""An agent in Basalt's SDK 1: it reads a prompt, calls a model three times and three tools, and then one call fails.

Argument: an API key.
"""

import sys
from contextlib import suppress

from basalt import Basalt
from basalt.observability import observe, start_observe

basalt = Basalt(api_key=sys.argv[1])


@observe(kind="generation", name="answer")
def generate(question):
    observe.set_input(question)
    observe.set_provider("openai")
    observe.set_model("gpt-4o-mini")
    observe.set_response_model("gpt-4o-mini-2024-07-18")
    observe.set_tokens(input=1200, output=40)
    if question == "overload":
        raise RuntimeError("The model cannot answer")
    observe.set_output(f"Answer to: {question}")


@observe(kind="tool", name="look up")
def look_up(place):
    return {"place": place}


@start_observe(feature_slug="travel", name="agent", identity={"user": {"id": "ada", "name": "Ada"}})
def act():
    with basalt.prompts.get_sync("bots/qa", variables={"question": "Why?"}) as prompt:
        generate(prompt.text)
    for number in (2, 3):
        look_up("Paris")
        generate(f"Question {number}")
    look_up("Paris")
    observe.set_output("done")


@start_observe(feature_slug="travel", name="failing")
def fail():
    generate("overload")


act()
with suppress(RuntimeError):
    fail()
basalt.shutdown()
