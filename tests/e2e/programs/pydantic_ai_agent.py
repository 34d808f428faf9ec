"""An agent of pydantic-ai with three tools, a conversation, a stream, two refusals and a picture."""

import asyncio
from contextlib import suppress

import tracing
from openai import AsyncOpenAI
from openai_calls import PICTURE, TOOLS
from pydantic_ai import Agent, BinaryContent, ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(openai_client=AsyncOpenAI(max_retries=0))
agent = Agent(OpenAIChatModel("gpt-4o-mini", provider=provider), name="planner", instructions="Be brief.")
planner = Agent(OpenAIChatModel("gpt-4o-mini", provider=provider), name="planner")
for name in TOOLS:
    planner.tool_plain(name=name)(lambda place: {"place": place})


async def run():
    first = await agent.run("What is light?", conversation_id="session-conversation")
    history = first.all_messages()
    await agent.run("Why is it fast?", message_history=history, conversation_id="session-conversation")
    async with agent.run_stream("Tell me a story") as stream:
        await stream.get_output()
    await planner.run("Plan a day in Paris")
    for question in ("overload", "break"):
        with suppress(ModelHTTPError):
            await agent.run(question)
    await agent.run(["What is this?", BinaryContent(PICTURE, media_type="image/png")])


asyncio.run(run())
tracing.provider.shutdown()
