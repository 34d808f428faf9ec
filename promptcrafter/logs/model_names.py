"""The names of models as gateways, clouds, SDKs, local runners and people write them, without any prices.

`readings` translates a name into the entries of a price list that it can stand for: which provider was called, and the
name of the model there. `spellings` yields the ways to write a name, and `without_tag` removes a date or version
behind it. `logs/prices.py` decides with them which entry of the list a name means (decision 31).
"""

import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import NamedTuple

MAX_LENGTH = 300  # characters; longer names have no price


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What stands before a `/` or `:`, or is sent as the provider, without separators: the provider of the price list
_ALIASES = {
    "anthropic": "anthropic anthropicmessages claude",
    "arcee": "arcee arceeai",
    "avian": "avian",
    "aws": "aws awsbedrock bedrock bedrockconverse amazon amazonbedrock anthropicbedrock bedrockruntime",
    "azure": "azure azureai azureaiinference azureaiopenai azureaistudio azurechat azureopenai azureopenaichat "
    "azureopenairesponses azureresponses azureaifoundry azurefoundry azinference azaiinference azaiopenai azuretext",
    "baseten": "baseten",
    "cerebras": "cerebras",
    "cloudflare": "cloudflare cloudflareai cloudflareworkersai workersai",
    "cohere": "cohere coherechat",
    "cursor": "cursor",
    "databricks": "databricks",
    "deepseek": "deepseek deepseekchat",
    "doubleword": "doubleword",
    "elevenlabs": "elevenlabs",
    "fireworks": "fireworks fireworksai",
    "github-copilot": "githubcopilot copilot",
    "google": "google gemini googlegenai googleai googleaistudio googlegenerativeai googlegemini googlegla palm "
    "vertex vertexai vertexaibeta googlevertex googlevertexai googlevertexchat vertexailanguagemodels gcpgemini "
    "gcpvertexai gcpgenai gcpvertex googleanthropicvertex anthropicvertex googlevertexanthropic vertexanthropic",
    "groq": "groq groqchat",
    "meta": "meta",
    "minimax": "minimax",
    "mistral": "mistral mistralai mistralchat",
    "modal": "modal",
    "moonshotai": "moonshot moonshotai",
    "novita": "novita novitaai",
    "openai": "openai openaichat openairesponses openaicompletion textcompletionopenai oai",
    "openai-decisions": "openaidecisions",
    "openrouter": "openrouter openrouterai openrouterchat",
    "ovhcloud": "ovhcloud ovh",
    "perplexity": "perplexity perplexityai pplx",
    "quicksilverpro": "quicksilverpro",
    "together": "together togetherai togetheraichat",
    "typesafe": "typesafe",
    "voyageai": "voyage voyageai",
    "x-ai": "xai xaichat grok",
    "zai": "zai",
    "zhipuai": "zhipuai zhipu bigmodel",
}
_PROVIDERS = {alias: provider for provider, aliases in _ALIASES.items() for alias in aliases.split()}

# Programs that run models on one's own machines: what they cost is not known
_LOCAL = _words(
    """
    ollama ollamachat lmstudio llamacpp llamacppserver llamacpppython llamafile llamaserver vllm hostedvllm sglang tgi
    textgenerationinference textgenerationwebui oobabooga koboldcpp kobold localai local gpt4all mlx mlxlm mlxserver
    xinference jan exo docker dockermodelrunner ramalama lemonade foundrylocal onnx openvino tabbyapi aphrodite lmdeploy
    triton nim nvidianim huggingface hf hfco huggingfacehub huggingfacelocal huggingfacepipeline transformers sagemaker
    sagemakerchat sagemakerendpoint mlxcommunity lmstudiocommunity unsloth thebloke bartowski ai
    """
)

# Gateways that pass a name on, with the real provider in it; and what libraries send as the provider that is none
_TRANSPARENT = _words(
    """
    litellm litellmproxy langchain helicone portkey vercel vercelaigateway vercelai gateway
    langgraph langsmith llamaindex haystack crewai autogen semantickernel springai dspy agno smolagents function
    fallback test mcpsampling outlines custom other unknown undefined none
    """
)
# Companies that sell the models of others at prices of their own, which the list does not have
_RESELLERS = _words(
    "snowflake snowflakecortex cortex poe github githubmodels oci ocigenai oracle ibm ibmwatsonx ibmwatsonxai watsonx "
    "sap sapaicore alibaba alibabacloud dashscope nebius deepinfra replicate siliconflow sambanova hyperbolic"
)

# Kinds of calls between the provider and the model, as in `openai:chat:gpt-4o` and `bedrock/converse/…`
_CALLS = {
    "chat", "chat_completion", "chat-completion", "chat-completions", "completion", "completions", "text-completion",
    "responses", "response", "messages", "message", "converse", "converse_like", "invoke", "text-generation",
    "embedding", "embeddings", "models", "model",
}  # fmt: skip
# The same for providers that have more: global deployments of Azure cost what OpenAI costs; those of a region cost more
_PATHS = {
    "azure": {"global", "global-standard", "globalstandard", "o_series", "gpt5_series", "openai", "anthropic"},
    "google": {"anthropic"},
}
_FAMILIES = {"anthropic": "claude", "google": "gemini", "openai": "gpt", "x-ai": "grok"}  # Basalt's 3.5-sonnet, 4o
# A model of Anthropic costs the same in all of these regions; the price of Llama varies
_AWS_REGION = re.compile(r"(?:us-east-1|us-west-2)/|(?:us|eu|ap|ca|sa)-[a-z]+-\d/(?=anthropic\.)")
_REGION = r"(?:regional|global|us-gov|us|eu|apac|ap|jp|au|in|ca|sa|me|af|il|mx|uk|ch|kr)"
_BEDROCK = re.compile(
    rf"(?:{_REGION}\.)?(?:ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshotai?|nvidia|openai"
    r"|qwen|stability|twelvelabs|writer|zai)\.[a-z0-9]"
)
_ARN = re.compile(r"arn:aws:bedrock:(?!us-gov-|cn-)[^:]*:\d*:(?:foundation-model|inference-profile)/(.+)")
_VERTEX = re.compile(r"(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/(?:google|anthropic)/)?models/(.+)")
# Variants of OpenRouter
_VARIANT = re.compile(r":(free|beta|nitro|floor|online|thinking|extended|exacto|batch)$")
_ONE_PRICE = ("openai/", "anthropic/", "google/gemini", "x-ai/", "perplexity/", "cohere/")  # whichever host is chosen
# The parts of names whose tokens are not, or not only, those of text
_NOT_TEXT = _words(
    """
    audio realtime transcribe transcription tts whisper image images imagen dall dalle live voice sonic speech voxtral
    lyria veo sora video omni orpheus
    """
)


class Reading(NamedTuple):
    """A way to understand a name: the provider in the price list, None for the model's maker, and the model there."""

    provider: str | None
    model: str


def readings(provider: str | None, model: str) -> Iterator[Reading]:
    """Yield what a name can mean, in lower case, best first; nothing for a model that runs on the user's own machine.

    A provider that is named, by `provider` or in the name, is the only one whose prices count. A provider that is not
    known has no prices.
    """
    text = model.strip().lower()
    if len(text) > MAX_LENGTH or not text:
        return
    if provider is None or not provider.strip():
        yield from _read_unknown(text)
        return
    key = _provider_key(provider)
    if key in _TRANSPARENT:
        yield from _read_unknown(text)
    elif key in _PROVIDERS:
        yield from _read_at(_PROVIDERS[key], text)
    elif key.startswith("huggingface") and key not in _LOCAL:
        yield Reading(f"huggingface_{re.sub('^huggingface[^a-z0-9]*', '', provider.strip().lower())}", text)


def _read_unknown(text: str) -> Iterator[Reading]:
    """Yield the readings of a name without a provider beside it."""
    head, separator, rest = _split(text)
    key = _key(head)
    if text.startswith("arn:") or _BEDROCK.match(text):
        yield from _read_at("aws", text)
    elif text.startswith("@cf/"):
        yield Reading("cloudflare", text)
    elif text.startswith("accounts/fireworks/"):
        yield Reading("fireworks", text)
    elif _VERTEX.fullmatch(text):
        yield from _read_at("google", text)
    elif "@" in text and not separator:
        yield Reading("google", text)
        yield Reading(None, text)
    elif text.startswith("ft:"):
        yield Reading("openai", text)
    elif not separator:
        yield Reading(None, text)
        word, blank, model = text.partition(" ")  # "Azure GPT-4o"
        if blank and _key(word) in _PROVIDERS:
            yield from _read_at(_PROVIDERS[_key(word)], model.strip())
    elif key in _TRANSPARENT:
        yield from _read_unknown(rest)
    elif separator == "/" and key.startswith("huggingface") and "/" in rest:  # LiteLLM: huggingface/together/org/model
        host, _, model = rest.partition("/")
        yield Reading(f"huggingface_{host}", model)
    elif key in _LOCAL:
        return
    else:
        if _VARIANT.search(text) and key != "openrouter":
            yield Reading("openrouter", text)  # the id at OpenRouter, which alone has variants
        if key in _PROVIDERS:
            yield from _read_at(_PROVIDERS[key], rest)
            yield Reading(_PROVIDERS[key], text)
        elif separator == ":":
            yield Reading(None, text)


def _read_at(provider: str, text: str) -> Iterator[Reading]:
    """Yield the readings of a name at a provider."""
    if provider != "aws" and _BEDROCK.match(text) and provider != "openrouter":
        provider = "aws"  # the name exists at Bedrock only, whichever SDK was used
    yield Reading(provider, text)
    if provider == "aws" and (arn := _ARN.fullmatch(text)):
        yield Reading(provider, arn[1])
    if provider == "aws" and (place := _AWS_REGION.match(text)):
        yield Reading(provider, text[place.end() :])
    if provider == "google" and (path := _VERTEX.fullmatch(text)):
        yield Reading(provider, path[1])
    if text[:1].isdigit() and provider in _FAMILIES:
        yield Reading(provider, f"{_FAMILIES[provider]}-{text}")
    head, separator, rest = _split(text)
    is_own = _PROVIDERS.get(_key(head)) == provider
    if separator and rest and (is_own or head in _CALLS or head in _PATHS.get(provider, ())):
        yield from _read_at(provider, rest)


def _split(text: str) -> tuple[str, str, str]:
    """Split at the first `/` or `:`."""
    found = re.search("[/:]", text)
    if found is None:
        return text, "", ""
    return text[: found.start()].strip(), found[0], text[found.end() :].strip()


def _key(provider: str) -> str:
    return re.sub("[^a-z0-9]", "", provider.lower())


def _provider_key(provider: str) -> str:
    """Return the key of a provider, without the kind of call behind it, as in `cerebras.chat` of the AI SDK."""
    head, _, call = provider.strip().lower().rpartition(".")
    key = _key(provider)
    return _key(head) if key not in _PROVIDERS and call in _CALLS else key


def is_known_provider(provider: str) -> bool:
    """Return whether a provider says anything about the price: who sells the model, or that nobody does."""
    key = _provider_key(provider)
    return any(key in known for known in (_PROVIDERS, _TRANSPARENT, _LOCAL, _RESELLERS)) or key.startswith(
        "huggingface"
    )


def is_sold_by_its_maker(model: str) -> bool:
    """Return whether a name is that of a model whose weights are not published, so that its maker sets the price."""
    return _is_closed(model.strip().lower()[:MAX_LENGTH].rpartition("/")[2])


def spellings(name: str) -> Iterator[str]:
    """Yield how a price list may write a name in lower case, such as `claude 3.5 sonnet` or `gpt4o`; best first."""
    seen = set()
    dashed = re.sub(r"[\s_]+", "-", name)
    for text in (name, dashed, re.sub(r"\+$", "-plus", dashed), re.sub(r"^([a-z]+)(\d)", r"\1-\2", dashed)):
        for dotless in (text, text.replace(".", "-"), re.sub(r"-(\d)-(\d)(?=-|$)", r"-\1.\2", text)):
            for candidate in (dotless, _with_dashed_date(dotless), _swapped(dotless)):
                if candidate and candidate not in seen:
                    seen.add(candidate)
                    yield candidate


def _swapped(name: str) -> str:
    """Return the name of a Claude with family and version in the other order."""
    version = r"\d+(?:[.-]\d{1,2})?"
    swapped = re.sub(rf"^claude-([a-z]+)-({version})(?![\d.])", r"claude-\2-\1", name)
    return swapped if swapped != name else re.sub(rf"^claude-({version})-([a-z]+)\b", r"claude-\2-\1", name)


def _with_dashed_date(name: str) -> str:
    return re.sub(r"[-@](20\d\d)-?(\d\d)-?(\d\d)(?=$|[:@-])", r"-\1-\2-\3", name)


class Tagged(NamedTuple):
    """A name without the tag that stood behind it."""

    name: str
    is_safe: bool  # the tag never changes the price; otherwise the list must know the name with the tag, too


_FULL_DATE = re.compile(r"[-@](20\d\d)-?(\d\d)-?(\d\d)$")
_SHORT_DATE = re.compile(r"[-@](\d\d)(\d\d)$")
_LISTED_TAG = re.compile(r"[-@]latest$|-preview(?:-\d\d-\d\d(?:\d\d)?)?$|[-@]00\d$|-v\d+(?::\d+)?$")


def without_tag(name: str, provider: str | None) -> Tagged | None:
    """Return a name without the date, the version or the variant behind it; None if it ends with none of them."""
    if found := _FULL_DATE.search(name):
        return Tagged(name[: found.start()], is_safe=True) if _is_date(*map(int, found.groups())) else None
    if provider == "openrouter" and (found := _VARIANT.search(name)):
        same = found[1] == "beta" or (found[1] in ("nitro", "floor", "online") and name.startswith(_ONE_PRICE))
        same = same or (found[1] == "thinking" and name.startswith("anthropic/"))
        return Tagged(name[: found.start()], is_safe=True) if same else None
    if "claude" in name and (found := re.search(r"[:-]thinking$|:beta$", name)):
        return Tagged(name[: found.start()], is_safe=True)  # thinking is billed as output
    if name.endswith(":latest"):
        return Tagged(name[:-7], is_safe=True) if _is_closed(name) else None  # otherwise it is Ollama's default tag
    if found := _SHORT_DATE.search(name):
        first, second = map(int, found.groups())
        is_date = (1 <= first <= 12 and 1 <= second <= 31) or (23 <= first <= 39 and 1 <= second <= 12)
        return Tagged(name[: found.start()], is_safe=False) if is_date else None
    if found := _LISTED_TAG.search(name):
        is_version = found[0].startswith(("-v", "@00", "-00"))
        if is_version and not name.startswith(("claude-", "gemini-")):
            return None
        return Tagged(name[: found.start()], is_safe=False)
    return None


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _is_closed(name: str) -> bool:
    """Return whether the weights of a model are not published, so that nobody but its maker can run it."""
    return bool(re.match(r"(?:gpt-?\d(?!.*oss)|chatgpt|o\d|claude|gemini|grok|sonar)", name)) and "oss" not in name


def is_text_only(name: str) -> bool:
    """Return whether a name, or the id of an entry, is that of a model whose tokens are those of text, or free."""
    return name.endswith(":free") or not _NOT_TEXT.intersection(re.split(r"[^a-z0-9]+", name.lower()))


class BedrockName(NamedTuple):
    """The parts of a model's id at Bedrock."""

    region: str  # of the inference profile; "" without one
    core: str  # without region and version


def bedrock_name(name: str) -> BedrockName:
    """Split `us.anthropic.claude-3-haiku-20240307-v1:0` into region and core."""
    found = re.match(rf"({_REGION})\.", name)
    region = found[1] if found else ""
    return BedrockName(region, re.sub(r"(?:-v\d+(?::\d)?|:\d)$", "", name[len(region) + 1 if region else 0 :]))


# Families of models that bill tokens of reasoning that the output does not show. Hybrid models count, unless thinking
# is off by default: a count of visible tokens would be too small.
_START = r"(?:^|[/:.\s])"
_HIDES = re.compile(
    rf"""
    {_START}(?:
        o[1-9](?=$|[-:@\s/])
      | gpt-?[5-9](?!\d)(?!.*-chat) | gpt-oss | codex-mini | computer-use
      | (?:gemini-(?:pro-|flash-)?(?:2[.-]5|[3-9]) | gemini-(?:pro|flash|flash-lite)-latest)
        (?!.*(?:-tts|embedding)|-flash-image)
      | deepseek-?(?:v[4-9]|flash|pro)(?![a-z]) | grok-?(?:[4-9]|3-mini|code|build|latest)
      | magistral | qwq | qvq | qwen-?3(?:\.\d+)?(?=[-:])(?!.*(?:instruct|coder|embedding|rerank|max|plus|flash|turbo))
      | kimi-?k(?:2[.-][5-9]|[3-9]) | glm-?(?:4[.-][5-9]|[5-9]|z1) | minimax-?m[1-9]
      | ring-\d | muse-(?:spark|wonder) | nemotron-(?:nano|super|ultra|3) | sonar-deep-research | r1-1776
      | marco-o1 | skywork-o1 | exaone-deep | deepscaler | openthinker | smallthinker | ernie-x1 | hunyuan-t1
    )
    | (?<![a-z0-9])(?<!non-)(?<!no-)(?:r1|r1t\d?|reasoner|reasoning|thinking|think|deep-research)(?![a-z0-9])
    """,
    re.VERBOSE,
)


@lru_cache(maxsize=4096)
def hides_reasoning(model: str) -> bool:
    """Return whether a model, by any spelling of its name, bills tokens of reasoning that its output does not show."""
    text = re.sub(r"[\s_]+", "-", model.strip().lower()[:MAX_LENGTH])
    return bool(_HIDES.search(re.sub(r"(^|[/:])ft:", r"\1", text))) and "non-reasoning" not in text
