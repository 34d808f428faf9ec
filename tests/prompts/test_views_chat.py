"""Chat prompts, parameters and descriptions."""

from typing import Any

import pytest

from tests.support.databases import only_sqlite
from tests.support.people import Person

MESSAGES = [
    {"role": "system", "content": "Answer as {{tone}}."},
    {"placeholder": "history"},
    {"role": "user", "content": "{{question}}", "name": "Ada"},
]
FLATTENED = "system:\nAnswer as {{tone}}.\n\n{{history}}\n\nuser (Ada):\n{{question}}"
CHAT = {"title": "A chat", "model": "gpt-4o", "messages": MESSAGES, "config": {"temperature": 0.2, "tools": [{"b": 1}]}}


@pytest.fixture
def chat(ada: Person) -> Any:
    """Return a chat prompt."""
    answer = ada.post("/prompts", CHAT)
    assert answer.status_code == 201
    return answer.json


def test_a_chat_prompt_is_kept_as_it_was_sent(ada: Person, chat: Any) -> None:
    shown = {"type": "chat", "messages": MESSAGES, "config": CHAT["config"], "content": FLATTENED}
    version = ada.get(f"/prompts/{chat['_id']}/versions/1").json
    for answer in (chat, ada.get(f"/prompts/{chat['_id']}").json, ada.get("/prompts").json[0], version):
        assert {name: answer[name] for name in shown} == shown
    assert chat["description"] == ""
    assert [prompt["_id"] for prompt in ada.get("/search?q=answer%20as").json] == [chat["_id"]]


def test_a_change_of_messages_or_config_makes_a_version(ada: Person, chat: Any) -> None:
    path = f"/prompts/{chat['_id']}"
    other = [*MESSAGES[:2], {"role": "user", "content": "Well?"}]
    changes: list[tuple[dict[str, Any], int]] = [
        ({"messages": MESSAGES}, 1),
        ({"config": {"tools": [{"b": 1}], "temperature": 0.2}}, 1),  # the order of keys has no meaning
        ({"description": "For classes"}, 1),
        ({"config": {"temperature": 0.2, "tools": [{"b": True}]}}, 2),
        ({"messages": other, "config": None}, 3),
        ({"config": {}}, 4),
        ({"type": "chat", "messages": MESSAGES, "comment": "Back"}, 5),
        ({"content": "Now a text"}, 6),
        ({"title": "Another", "messages": None}, 6),
    ]
    for body, number in changes:
        answer = ada.patch(path, body)
        assert (answer.status_code, answer.json["version"]) == (200, number), body
    now = answer.json
    assert (now["type"], now["messages"], now["content"]) == ("text", None, "Now a text")
    assert (now["config"], now["description"]) == ({}, "For classes")
    restored = ada.post(f"{path}/versions/3/restore").json
    assert (restored["version"], restored["type"], restored["messages"]) == (7, "chat", other)
    assert ada.get(path).json["config"] == {"temperature": 0.2, "tools": [{"b": True}]}
    assert [prompt["_id"] for prompt in ada.get("/search?q=well").json] == [chat["_id"]]


@only_sqlite
@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({"content": "x"}, {"messages": ["must not come with content: a prompt has the one or the other"]}),
        ({"messages": None}, {"content": ["is required"]}),
        ({"messages": []}, {"messages": ["must have 1 to 200 entries"]}),
        ({"messages": [{"role": "user", "content": ""}] * 201}, {"messages": ["must have 1 to 200 entries"]}),
        ({"messages": "Hello"}, {"messages": ["must be an array of messages"]}),
        ({"messages": [MESSAGES[0], "Hello"]}, {"messages.1": ["must be an object"]}),
        ({"messages": [None]}, {"messages.0": ["must be an object"]}),
        ({"messages": [{}]}, {"messages.0.role": ["is required"], "messages.0.content": ["is required"]}),
        (
            {"messages": [{"role": "robot", "content": 7}]},
            {
                "messages.0.role": ["must be one of system, developer, user, assistant, tool"],
                "messages.0.content": ["must be a string"],
            },
        ),
        (
            {"messages": [*MESSAGES, {"role": "user", "content": "a\x00b"}]},
            {"messages.3.content": ["must not contain the NUL character (U+0000)"]},
        ),
        (
            {"messages": [{"placeholder": ""}]},
            {"messages.0.placeholder": ["must be a name of 1 to 100 characters without white space and braces"]},
        ),
        ({"messages": [{"placeholder": None}]}, {"messages.0.placeholder": ["is required"]}),
        (
            {"messages": [{"role": "user", "placeholder": None}]},
            {"messages.0.content": ["is required"]},
        ),
        (
            {"messages": [{"placeholder": "history", "role": "user"}]},
            {"messages.0.role": ["cannot be in a message: it may have role, content and name, or placeholder alone"]},
        ),
        (
            {"messages": [{"role": "user", "content": "x", "tool_calls": []}]},
            {
                "messages.0.tool_calls": [
                    "cannot be in a message: it may have role, content and name, or placeholder alone"
                ]
            },
        ),
        ({"type": "text"}, {"type": ["must be chat with messages"]}),
        ({"type": "completion"}, {"type": ["must be one of text, chat"]}),
        ({"config": []}, {"config": ["must be an object"]}),
        ({"config": {"a\x00": 1}}, {"config": ["must not contain the NUL character (U+0000)"]}),
        (
            {"config": {"a": "x" * 65_536}},
            {"config": ["must have at most 65,536 bytes as compact JSON; it has 65,544"]},
        ),
        ({"description": "x" * 10_001}, {"description": ["must have at most 10000 characters"]}),
        ({"description": 7}, {"description": ["must be a string"]}),
    ],
    ids=str,
)
def test_a_fault_is_named_by_its_place(ada: Person, body: dict[str, Any], details: Any) -> None:
    answer = ada.post("/prompts", {**CHAT, **body})
    assert (answer.status_code, answer.json["details"]) == (400, details)
    assert ada.get("/prompts").json == []


def test_a_chat_prompt_can_be_sent_back_as_it_was_read(ada: Person, chat: Any) -> None:
    answer = ada.patch(f"/prompts/{chat['_id']}", {**chat, "title": "Another"})
    assert (answer.status_code, answer.json["version"], answer.json["title"]) == (200, 1, "Another")
    assert ada.patch(f"/prompts/{chat['_id']}", {**chat, "content": "the text of the messages"}).status_code == 400


def test_a_config_is_nested_fifty_levels_deep_at_most(ada: Person, chat: Any) -> None:
    config: Any = 1
    for _ in range(50):
        config = {"a": config}
    assert ada.patch(f"/prompts/{chat['_id']}", {"config": config}).json["config"] == config
    answer = ada.patch(f"/prompts/{chat['_id']}", {"config": {"a": [config]}})
    assert answer.json["details"] == {"config": ["must be nested at most 50 levels deep"]}


def test_messages_are_rendered_with_variables_and_placeholders(ada: Person, chat: Any) -> None:
    path = f"/prompts/{chat['_id']}/render"
    history = [{"role": "assistant", "content": "{{tone}}?", "tool_calls": [{"id": 1}]}, {"role": "user"}]
    values = {"tone": "{{question}}", "question": ["a", 1], "history": history, "extra": 1}
    assert ada.post(path, {"variables": values}).json == {
        "messages": [
            {"role": "system", "content": "Answer as {{question}}."},
            *history,
            {"role": "user", "content": '["a",1]', "name": "Ada"},
        ],
        "model": "gpt-4o",
        "version": 1,
        "config": CHAT["config"],
    }
    missing = ada.post(path, {"variables": {"tone": "x"}})
    reasons = [f"must have a value for {name}" for name in ("history", "question")]
    assert (missing.status_code, missing.json["details"]) == (400, {"variables": reasons})
    for value, place, reason in (
        ("none", "variables.history", "must be an array of messages"),
        ([{"role": "user"}, {"role": "bot"}], "variables.history.1", "must be an object with a role, which is one of"),
        ([[]], "variables.history.0", "must be an object with a role, which is one of"),
    ):
        bad = ada.post(path, {"variables": {**values, "history": value}})
        [(named, [rule])] = bad.json["details"].items()
        assert (bad.status_code, named) == (400, place)
        assert rule.startswith(reason)


def test_rendered_messages_have_at_most_as_many_bytes_as_an_output(app: Any, ada: Person) -> None:
    messages = [{"role": "user", "content": "{{a}}\n"}, {"placeholder": "b"}] * 100
    prompt = ada.post("/prompts", {**CHAT, "messages": messages}).json
    path = f"/prompts/{prompt['_id']}/render"
    values = {"a": "é" * 10, "b": [{"role": "tool", "content": "x" * 10}]}
    size = len(ada.post(path, {"variables": values}).get_data().partition(b'"messages":')[2].partition(b',"config"')[0])
    for limit, status in ((size + 400, 200), (size - 400, 413)):
        app.config["MAX_OUTPUT_BYTES"] = limit
        answer = ada.post(path, {"variables": values})
        assert answer.status_code == status
    assert answer.json["message"].startswith(f"The rendered text may have at most {limit:,} bytes; it is")


def test_a_diff_names_messages_by_position_and_role_and_keys_of_config(ada: Person, chat: Any) -> None:
    path = f"/prompts/{chat['_id']}"
    messages = [{"role": "developer", "content": "Be brief."}, MESSAGES[0], {"role": "user", "content": "Well?"}]
    ada.patch(path, {"messages": messages, "config": {"temperature": None, "top_p": 1}})
    diff = ada.get(f"{path}/diff?from=1&to=2").json
    assert diff["messages"] == [
        {"change": "added", "to": {"position": 0, "role": "developer"}},
        {
            "change": "changed",
            "from": {"position": 1, "role": "placeholder"},
            "to": {"position": 2, "role": "user"},
        },
        {"change": "removed", "from": {"position": 2, "role": "user"}},
    ]
    assert diff["config"] == [
        {"key": "temperature", "change": "changed", "from": 0.2, "to": None},
        {"key": "tools", "change": "removed", "from": [{"b": 1}]},
        {"key": "top_p", "change": "added", "to": 1},
    ]
    assert "+developer:\n+Be brief.\n+\n system:" in diff["diff"]
    ada.patch(path, {"content": "A text"})
    to_text = ada.get(f"{path}/diff?from=2&to=3").json
    assert [(change["change"], "to" in change) for change in to_text["messages"]] == [("removed", False)] * 3


def test_outputs_of_a_chat_prompt_are_logged_compared_and_counted_by_version(ada: Person, chat: Any) -> None:
    path = f"/prompts/{chat['_id']}"
    ada.patch(path, {"config": {}})
    ada.patch(path, {"content": "Now a text", "model": "claude"})
    ada.open(f"{path}/labels/production", method="PUT", json={"version": 2})
    logs = [ada.log(chat, promptVersion=version, score=8) for version in (1, "production", "latest")]
    assert [log["promptVersion"] for log in logs] == [1, 2, 3]
    groups = ada.get(f"{path}/stats?groupBy=version").json["groups"]
    assert sorted((group["version"], group["count"]) for group in groups) == [(1, 1), (2, 1), (3, 1)]
    compared = ada.get(f"/compare?logs={','.join(log['_id'] for log in logs)}").json
    assert [log["promptVersion"] for log in compared["logs"]] == [1, 2, 3]
    variants = [{"key": "A", "trafficPercent": 100, "promptId": chat["_id"]}]
    assert ada.post("/experiments", {"slug": "e", "name": "n", "status": "ACTIVE", "variants": variants}).json["slug"]
    assert ada.post("/experiment/e/log", {"variantKey": "A", "output": {}}).status_code == 200
    assert ada.post("/monitor/log", {"slug": chat["slug"], "output": "y"}).status_code == 200
    traced, result = ada.get("/logs?per_page=2").json
    assert (traced["promptVersion"], traced["modelUsed"]) == (2, "gpt-4o"), "that in production"
    assert (result["promptVersion"], result["modelUsed"]) == (3, "claude")
    assert ada.delete(path).status_code == 204
    assert ada.get("/logs").json == []


def test_nulls_in_a_message_are_absent(ada: Person) -> None:
    sent = [{"role": "user", "content": "a", "name": None, "placeholder": None}, {"placeholder": "p", "role": None}]
    answer = ada.post("/prompts", {**CHAT, "messages": sent})
    assert (answer.status_code, answer.json["messages"]) == (
        201,
        [{"role": "user", "content": "a"}, {"placeholder": "p"}],
    )


def test_every_version_is_in_the_diff_and_in_the_audit_trail(ada: Person) -> None:
    one, two = ({"role": role, "content": text} for role, text in (("user", "a"), ("assistant", "b")))
    prompt = ada.post("/prompts", {**CHAT, "messages": [one, two], "config": {"a": True, "b": 1, "c": [1]}}).json
    path = f"/prompts/{prompt['_id']}"
    changes: list[dict[str, Any]] = [
        {"config": {"a": 1, "b": 1.0, "c": [False]}},
        {"messages": [{"role": "user", "content": "a\n\nassistant:\nb"}]},  # the same text
        {"content": prompt["content"]},
        {"messages": [one, two]},
    ]
    for number, change in enumerate(changes, 2):
        assert ada.patch(path, change).json["version"] == number
        entry = ada.get(f"/workspaces/{prompt['workspaceId']}/audit?object={prompt['_id']}").json[0]
        assert list(entry["after"]) == list({"messages": None} if "content" in change else change)
    assert len(ada.get(f"/workspaces/{prompt['workspaceId']}/audit?object={prompt['_id']}").json) == 5
    diff = ada.get(f"{path}/diff?from=1&to=2").json
    assert [(change["key"], change["from"], change["to"]) for change in diff["config"]] == [
        ("a", True, 1),
        ("b", 1, 1.0),
        ("c", [1], [False]),
    ]
    assert ada.get(f"{path}/diff?from=2&to=3").json["messages"] != []


def test_the_audit_trail_tells_what_a_chat_prompt_was(ada: Person, chat: Any) -> None:
    ada.patch(f"/prompts/{chat['_id']}", {"config": {"stop": "x" * 2000}, "messages": MESSAGES[:1]})
    entry = ada.get(f"/workspaces/{chat['workspaceId']}/audit?object={chat['_id']}").json[0]
    assert entry["before"] == {"messages": MESSAGES, "content": FLATTENED, "config": CHAT["config"]}
    assert entry["after"]["config"].startswith('{"stop":"xxx')
    assert len(entry["after"]["config"]) <= 1001
