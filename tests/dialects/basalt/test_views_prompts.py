"""The routes by which Basalt's clients read and publish prompts."""

import json
import re
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from basalt.utils.dtos import PromptModelParameters

from promptcrafter.dialects.basalt.translate import guess_provider
from promptcrafter.dialects.version_choice import read_version
from tests.dialects.basalt.test_views_monitor import prompt_with
from tests.support.people import Caller, Person

IGNORED = "The tag was ignored: a version was named."
NO_NINE, NO_BETA = "There is no version 9.0.0 of the prompt", "No version of the prompt has the tag beta"

# query, where production sits, the version and tag of the answer or None for 404, warning or error
RESOLUTION: list[tuple[str, int | None, tuple[str, str] | None, str | None]] = [
    ("version=1.0.0&tag=staging", 2, ("1.0.0", ""), IGNORED),
    ("version=1", 2, ("1.0.0", ""), None),
    ("version=2.0", 1, ("2.0.0", "staging"), None),
    ("tag=staging", 1, ("2.0.0", "staging"), None),
    ("tag=latest", 1, ("2.0.0", "latest"), None),
    ("version=&tag=staging", 1, ("2.0.0", "staging"), None),
    ("version=9.0.0", 1, ("1.0.0", "production"), f"{NO_NINE}: production stands in."),
    ("version=9.0.0&tag=staging", 1, ("1.0.0", "production"), f"{IGNORED} {NO_NINE}: production stands in."),
    ("tag=beta", 1, ("1.0.0", "production"), f"{NO_BETA}: production stands in."),
    ("version=9.0.0", None, None, f"{NO_NINE}, and none has the tag production."),
    ("tag=beta", None, None, f"{NO_BETA}, and none has the tag production."),
    ("", 1, ("1.0.0", "production"), None),
    ("version=&tag=", 1, ("1.0.0", "production"), None),
    ("", None, None, "No version has the tag production."),
]


@pytest.mark.parametrize("production", [1, 2, None])
def test_the_referenced_version_is_returned(ada: Person, production: int | None, subtests: pytest.Subtests) -> None:
    prompt_with(ada, **({"staging": 2} | ({"production": production} if production else {})))
    cases = [case for case in RESOLUTION if case[1] == production]
    for (query, _, found, message), call in product(cases, ["", "/describe"]):
        with subtests.test(query=query, call=call):
            answer = ada.get(f"/basalt/prompts/qa{call}?{query}")
            if found is None:
                assert (answer.status_code, answer.json["error"]) == (404, message)
                continue
            assert (answer.status_code, answer.json["warning"]) == (200, message)
            if not call:
                assert (answer.json["prompt"]["version"], answer.json["prompt"]["tag"]) == found


def test_a_prompt_has_what_the_sdk_needs(ada: Person) -> None:
    prompt_with(ada, production=1)
    assert ada.get("/basalt/prompts/qa").json == {
        "prompt": {
            "slug": "qa",
            "text": "Answer {{question}}",
            "systemText": "",
            "version": "1.0.0",
            "tag": "production",
            "model": {
                "provider": "open-ai",
                "client": "open-ai",
                "model": "gpt-4o",
                "version": "",
                "parameters": {
                    "temperature": 1,
                    "topP": 1,
                    "topK": None,
                    "frequencyPenalty": 0,
                    "presencePenalty": 0,
                    "maxLength": None,
                    "responseFormat": "text",
                    "jsonObject": None,
                },
            },
        },
        "warning": None,
    }


SYSTEM = {"role": "system", "content": "Be {{tone}}."}
ASK = {"role": "user", "content": "{{question}}", "name": "Ada"}
# messages, and the texts that they become
TEXTS: list[tuple[list[dict[str, str]], str, str]] = [
    ([SYSTEM, ASK], "Be {{tone}}.", "{{question}}"),
    ([ASK], "", "{{question}}"),
    ([SYSTEM], "Be {{tone}}.", ""),
    ([ASK, SYSTEM, {"role": "developer", "content": "Answer."}], "Be {{tone}}.\n\nAnswer.", "{{question}}"),
    ([SYSTEM, {"placeholder": "history"}], "Be {{tone}}.", "{{history}}"),
    (
        [SYSTEM, {"placeholder": "history"}, ASK, {"role": "assistant", "content": "Well:"}],
        "Be {{tone}}.",
        "{{history}}\n\nuser (Ada):\n{{question}}\n\nassistant:\nWell:",
    ),
]


def test_messages_become_the_two_texts_that_basalt_has(ada: Person, subtests: pytest.Subtests) -> None:
    for number, (messages, system_text, text) in enumerate(TEXTS):
        with subtests.test(messages=messages):
            ada.prompt(slug=f"chat-{number}", content=None, messages=messages)
            shown = ada.get(f"/basalt/prompts/chat-{number}?tag=latest").json["prompt"]
            assert (shown["systemText"], shown["text"]) == (system_text, text)
            described = ada.get(f"/basalt/prompts/chat-{number}/describe?tag=latest").json["prompt"]
            labels = [variable["label"] for variable in described["variables"]]
            assert sorted(labels) == sorted(set(re.findall(r"{{(\w+)}}", system_text + text)))


DEFAULTS = {"temperature": 1, "topP": 1, "topK": None, "frequencyPenalty": 0, "presencePenalty": 0} | {
    "maxLength": None,
    "responseFormat": "text",
    "jsonObject": None,
}
# a config, and what is not the default in Basalt's parameters
PARAMETERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"temperature": 0, "top_p": 0.5, "top_k": 3}, {"temperature": 0, "topP": 0.5, "topK": 3}),
    ({"topP": 0.25, "topK": 4.0}, {"topP": 0.25, "topK": 4.0}),
    ({"frequency_penalty": -1, "presencePenalty": 2}, {"frequencyPenalty": -1, "presencePenalty": 2}),
    *(
        ({name: 100}, {"maxLength": 100})
        for name in ("max_tokens", "max_output_tokens", "max_completion_tokens", "maxLength", "maxOutputTokens")
    ),
    ({"max_tokens": 100.0, "maxLength": 200}, {"maxLength": 100}),
    ({"max_tokens": 0.5}, {}),
    ({"max_tokens": 1e300}, {}),
    ({"response_format": {"type": "json_object"}}, {"responseFormat": "json_object"}),
    ({"responseFormat": "json", "jsonObject": {"a": [1]}}, {"responseFormat": "json", "jsonObject": {"a": [1]}}),
    ({"temperature": True, "top_p": "1", "top_k": [], "frequency_penalty": None, "presence_penalty": {}}, {}),
    ({"max_tokens": "9", "response_format": {"type": 1}, "json_object": "{}", "tools": [], "stop": "."}, {}),
]


def test_parameters_come_from_the_config_in_the_types_that_the_sdk_reads(
    ada: Person, subtests: pytest.Subtests
) -> None:
    path = f"/prompts/{ada.prompt(slug='qa')['_id']}"
    for config, parameters in PARAMETERS:
        with subtests.test(config=config):
            assert ada.patch(path, {"config": config}).status_code == 200
            shown = ada.get("/basalt/prompts/qa?tag=latest").json["prompt"]["model"]["parameters"]
            assert json.dumps(shown) == json.dumps({**DEFAULTS, **parameters})
            read = PromptModelParameters.from_dict(shown)
            assert (read.top_k or None, read.response_format) == (shown["topK"], shown["responseFormat"])


def test_prompts_are_listed_and_described(ada: Person, ben: Person) -> None:
    prompt_with(ada, production=1, beta=2)
    ada.prompt(slug="draft", title="Draft", tags=["support"], content="{{b}} {{a}} {{b}}", description="Not yet")
    ben.prompt()
    draft = {
        "slug": "draft",
        "name": "Draft",
        "status": "draft",
        "description": "Not yet",
        "availableVersions": ["1.0.0"],
        "availableTags": ["latest"],
    }
    live = {
        "slug": "qa",
        "name": "QA bot",
        "status": "live",
        "description": "",
        "availableVersions": ["1.0.0", "2.0.0"],
        "availableTags": ["beta", "production", "latest"],
    }
    assert ada.get("/basalt/prompts").json == {"prompts": [draft, live], "warning": None}
    assert ada.get("/basalt/prompts?featureSlug=").json["prompts"] == [draft, live]
    assert ada.get("/basalt/prompts?featureSlug=support").json["prompts"] == [draft]
    assert ada.get("/basalt/prompts?featureSlug=none").json["prompts"] == []
    variables = [{"label": label, "type": "string", "description": ""} for label in ("b", "a")]
    described = ada.get("/basalt/prompts/draft/describe?tag=latest").json
    assert described == {"prompt": {**draft, "variables": variables}, "warning": None}


def test_publishing_puts_a_tag_on_a_version(ada: Person) -> None:
    prompt = prompt_with(ada, staging=2)
    answer = ada.post("/basalt/prompts/qa/publish", {"newTag": "production", "version": "1.0.0", "tag": "staging"})
    assert answer.status_code == 201
    tag = answer.json["deploymentTag"]
    assert tag == {"id": str(UUID(tag["id"])), "label": "production"}
    assert ada.get("/basalt/prompts/qa").json["prompt"]["version"] == "1.0.0"
    again = ada.post("/basalt/prompts/qa/publish", {"newTag": "production", "tag": "staging", "version": None})
    assert again.json == answer.json, "the same tag of the same prompt"
    assert ada.get("/basalt/prompts/qa").json["prompt"]["version"] == "2.0.0"
    assert ada.get(f"/prompts/{prompt['_id']}").json["labels"] == ["production", "staging"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"version": "1.0.0"}, 400, "newTag is required"),
        ({"newTag": "production"}, 400, "version is required unless tag is given."),
        ({"newTag": "production", "version": "", "tag": ""}, 400, "version is required unless tag is given."),
        (
            {"newTag": "latest", "version": "1"},
            400,
            "newTag must match [A-Za-z][A-Za-z0-9._-]{0,63} and not be latest.",
        ),
        ({"newTag": "a b", "version": "1"}, 400, "newTag must match [A-Za-z][A-Za-z0-9._-]{0,63} and not be latest."),
        ({"newTag": "beta", "version": "9.0.0"}, 404, "Version not found"),
        ({"newTag": "beta", "tag": "beta"}, 404, "Version not found"),
    ],
)
def test_publishing_does_not_fall_back_to_the_version_in_production(
    ada: Person, body: dict[str, Any], status: int, message: str
) -> None:
    prompt = prompt_with(ada, production=1)
    answer = ada.post("/basalt/prompts/qa/publish", body)
    assert (answer.status_code, answer.json["error"]) == (status, message)
    if status == 404:
        named = body.get("version") or body["tag"]
        details = {"version": [f"{named} is neither the number nor a label of a version of this prompt"]}
        assert answer.json["details"] == details
    assert ada.get(f"/prompts/{prompt['_id']}").json["labels"] == ["production"]


def test_resources_of_other_accounts_are_404(ada: Person, ben: Person) -> None:
    prompt_with(ada, production=1)
    for answer in (
        ben.get("/basalt/prompts/qa"),
        ben.get("/basalt/prompts/qa/describe"),
        ben.post("/basalt/prompts/qa/publish", {"newTag": "t", "version": "1"}),
        ada.get("/basalt/prompts/unknown"),
    ):
        assert (answer.status_code, answer.json["error"]) == (404, "Prompt not found")
    assert ben.get("/basalt/prompts").json["prompts"] == []


def test_the_first_of_a_great_many_variables_are_listed(ada: Person) -> None:
    ada.prompt(slug="many", content="".join(f"{{{{a{number}}}}}" for number in range(1001)))
    answer = ada.get("/basalt/prompts/many/describe?version=1").json
    labels = [variable["label"] for variable in answer["prompt"]["variables"]]
    assert labels == [f"a{number}" for number in range(1000)]
    assert answer["warning"] == "The first 1,000 of 1,001 variables are listed."


def test_unauthenticated_calls_are_refused(client: Caller) -> None:
    assert client.get("/basalt/prompts/qa").status_code == 401
    assert client.get("/prompts/qa", headers={"X-BASALT-SDK-TYPE": "python"}).status_code == 401


@pytest.mark.parametrize(
    ("version", "number"),
    [("1", 1), ("12.0", 12), ("3.0.0", 3), ("0", None), ("1.0.1", None), ("1.0.0.0", None), ("v1", None), ("٣", None)],
)
def test_malformed_versions_are_not_resolved(version: str, number: int | None) -> None:
    assert read_version(version) == number


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o", "open-ai"),
        ("o3-mini", "open-ai"),
        ("openai/GPT-5", "open-ai"),
        ("Claude 3 Sonnet", "anthropic"),
        ("Mistral Large", "mistral"),
        ("codestral-latest", "mistral"),
        ("Gemini 2.5 Flash", "gemini"),
        ("Grok 3", "grok"),
        ("meta/llama-3", "meta"),
        ("42", ""),
    ],
)
def test_a_provider_is_guessed_from_the_models_name(model: str, provider: str) -> None:
    assert guess_provider(model) == provider
