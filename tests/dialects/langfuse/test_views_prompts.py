"""The routes by which Langfuse's clients read and write prompts."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.otlp import export, make_span
from tests.support.people import Answer, Caller, Person

PROMPTS = "/api/public/v2/prompts"
# As the SDK for JavaScript sends it: that for Python leaves out the type of messages
CHAT: dict[str, Any] = {
    "name": "support/reply",
    "type": "chat",
    "prompt": [
        {"type": "chatmessage", "role": "system", "content": "You answer as {{company}}."},
        {"type": "placeholder", "name": "history"},
        {"role": "user", "content": "{{question}}"},
    ],
    "config": {"model": "gpt-4o", "temperature": 0.2},
    "labels": ["production"],
    "tags": ["support"],
    "commitMessage": "First draft",
}


def create(person: Person, **values: Any) -> dict[str, Any]:
    answer = person.post(PROMPTS, {"name": "movie-critic", "prompt": "Criticise {{movie}}.", **values})
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def get(person: Caller, name: str, **query: Any) -> Answer:
    return person.get(f"{PROMPTS}/{quote(name, safe='')}", query_string=query)


def test_a_prompt_of_a_chat_comes_back_as_the_sdks_read_it(ada: Person) -> None:
    created = create(ada, **CHAT)
    assert created == {
        **CHAT,
        "prompt": [{"type": "chatmessage", **message} for message in CHAT["prompt"]],
        "version": 1,
        "labels": ["production", "latest"],
        "resolutionGraph": None,
    }
    assert get(ada, "support/reply").json == created
    assert ada.get(f"{PROMPTS}/support/reply?resolve=true").json == created  # the name unencoded
    native = ada.get("/prompts/by-slug/support/reply").json
    assert (native["model"], native["config"], native["tags"]) == ("gpt-4o", CHAT["config"], ["support"])
    assert native["messages"][1:] == [{"placeholder": "history"}, {"role": "user", "content": "{{question}}"}]


def test_a_version_a_label_or_production_is_chosen(ada: Person) -> None:
    create(ada, labels=["production"])
    create(ada, prompt="Criticise {{movie}} in a line.", labels=["staging", "latest"], commitMessage=" ")
    assert [
        get(ada, "movie-critic", **query).json["version"] for query in ({}, {"version": 2}, {"label": "staging"})
    ] == [
        1,
        2,
        2,
    ]
    latest = get(ada, "movie-critic", label="latest").json
    assert (latest["version"], latest["labels"], latest["commitMessage"]) == (2, ["staging", "latest"], None)
    assert get(ada, "movie-critic", version=1).json["labels"] == ["production"]
    both = get(ada, "movie-critic", version=1, label="staging")
    assert (both.status_code, both.json["error"]) == (400, "label must not come with version.")


def test_what_is_missing_is_404_with_a_message(ada: Person) -> None:
    create(ada)
    for name, query, named in (
        ("movie-critic", {}, "label production"),
        ("movie-critic", {"label": "2"}, "label 2"),
        ("movie-critic", {"version": 2}, "version 2"),
        ("other", {"label": "latest"}, "label latest"),
    ):
        answer = get(ada, name, **query)
        assert (answer.status_code, answer.json["message"]) == (404, f"Prompt not found: {name} with {named}.")
        assert answer.json["error"] == answer.json["message"]
    assert "Its slug here would be movie-critic-" in get(ada, "Movie critic").json["message"]


@pytest.mark.parametrize(
    "name",
    [
        "Movie critic",
        "movie_critic",
        "QA",
        "客服/回复",
        "a/b/c/d/e",
        "versions/b",
        "a/render/b",
        "100% = 1?#&+",
        "x" * 255,
        "é" * 90,
    ],
)
def test_any_name_is_one_prompt(ada: Person, name: str) -> None:
    created = create(ada, name=name, labels=["production"])
    assert created["name"] == name
    assert create(ada, name=name)["version"] == 2
    assert get(ada, name).json == {**created, "labels": ["production"]}
    assert ada.patch(f"{PROMPTS}/{quote(name, safe='')}/versions/2", {"newLabels": ["staging"]}).status_code == 200
    (entry,) = ada.get(PROMPTS, query_string={"name": name}).json["data"]
    assert get(ada, entry["name"], version=2).json["labels"] == ["staging", "latest"]
    (prompt,) = ada.get("/prompts").json
    assert ada.get(f"/prompts/by-slug/{prompt['slug']}").status_code == 200


def test_names_that_look_alike_are_different_prompts(ada: Person) -> None:
    names = ["movie-critic", "movie_critic", "Movie critic", "movie critic"]
    for name in names:
        assert create(ada, name=name)["version"] == 1
    assert [each["name"] for each in ada.get(PROMPTS).json["data"]] == names[::-1]


def test_the_model_is_in_the_config(ada: Person) -> None:
    ada.prompt(slug="native", model="gpt-4o", config={"temperature": 0})
    assert get(ada, "native", label="latest").json["config"] == {"model": "gpt-4o", "temperature": 0}
    assert create(ada)["config"] == {}
    assert create(ada, config={"model": "o3"})["config"] == {"model": "o3"}
    assert create(ada, config={"top_p": 1})["config"] == {"model": "o3", "top_p": 1}
    (entry,) = ada.get(PROMPTS, query_string={"name": "movie-critic"}).json["data"]
    assert (entry["versions"], entry["lastConfig"]) == ([1, 2, 3], {"model": "o3", "top_p": 1})


def test_labels_move_to_the_version_and_join_those_it_has(ada: Person) -> None:
    create(ada, labels=["production", "stable"])
    create(ada, labels=["staging"])
    answer = ada.patch(f"{PROMPTS}/movie-critic/versions/2", {"newLabels": ["production", "latest"]})
    assert (answer.status_code, answer.json["labels"]) == (200, ["production", "staging", "latest"])
    assert get(ada, "movie-critic", version=1).json["labels"] == ["stable"]
    for path in ("movie-critic/versions/3", "other/versions/1", "movie-critic/versions/0"):
        assert ada.patch(f"{PROMPTS}/{path}", {"newLabels": ["a"]}).status_code == 404
    bad = ada.patch(f"{PROMPTS}/movie-critic/versions/2", {"newLabels": ["2024"]})
    assert (bad.status_code, bad.json["error"]) == (
        400,
        "newLabels.0 must match [A-Za-z][A-Za-z0-9._-]{0,63}.",
    )


def test_the_list_is_paged_and_filtered(ada: Person) -> None:
    for number in range(3):
        create(ada, name=f"p{number}", tags=[f"t{number}"], labels=["production"] if number else [])
    create(ada, **CHAT)
    first = ada.get(f"{PROMPTS}?limit=3").json
    assert first["meta"] == {"page": 1, "limit": 3, "totalItems": 4, "totalPages": 2}
    assert [each["name"] for each in first["data"]] == ["support/reply", "p2", "p1"]
    assert first["data"][0] | {"lastUpdatedAt": ""} == {
        "name": "support/reply",
        "type": "chat",
        "versions": [1],
        "labels": ["production", "latest"],
        "tags": ["support"],
        "lastUpdatedAt": "",
        "lastConfig": CHAT["config"],
    }

    def names(query: str) -> list[str]:
        return [each["name"] for each in ada.get(f"{PROMPTS}?{query}").json["data"]]

    assert names("limit=3&page=2") == ["p0"]
    assert names("tag=t1") == names("name=p1") == ["p1"]
    assert names("label=production") == ["support/reply", "p2", "p1"]
    assert len(names("label=latest&fromUpdatedAt=2020-01-01T00:00:00Z")) == 4
    assert names("toUpdatedAt=2020-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"prompt": ""}, "prompt must not be empty."),
        ({"prompt": []}, "prompt must have 1 to 200 entries."),
        ({"prompt": 7}, "prompt must be a text, or an array of messages."),
        ({"type": "chat"}, "type must be chat with messages, and text or absent with a text."),
        ({"name": "a\u200b"[1:]}, "name must not be blank."),
        (
            {"name": "a/versions/b"},
            "name must not begin with a slash, and no segment but the first may be versions.",
        ),
        ({"name": "x" * 256}, "name must have 1 to 255 characters."),
        ({"config": [1]}, "config must be an object."),
        ({"labels": ["a b"]}, "labels.0 must match [A-Za-z][A-Za-z0-9._-]{0,63}."),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_rule(ada: Person, values: dict[str, Any], error: str) -> None:
    answer = ada.post(PROMPTS, {"name": "x", "prompt": "y", **values})
    assert (answer.status_code, answer.json["error"]) == (400, error)


def test_messages_are_checked_one_by_one(ada: Person) -> None:
    wrong = [{"role": "critic", "content": "x"}, {"role": "user"}, {"type": "tool", "role": "user", "content": ""}, "x"]
    answer = ada.post(PROMPTS, {"name": "x", "type": "chat", "prompt": wrong})
    assert sorted(answer.json["details"]) == ["prompt.0.role", "prompt.1.content", "prompt.2.type", "prompt.3"]


def test_a_protected_label_is_the_owners(ada: Person, ben: Person) -> None:
    workspace = ada.post("/workspaces", {"name": "Team"}).json
    invitation = ada.post(f"/workspaces/{workspace['_id']}/invitations", {"role": "editor"}).json
    assert ben.post("/invitations/accept", {"token": invitation["token"]}).status_code == 200
    ada.patch(f"/workspaces/{workspace['_id']}", {"protectedLabels": ["production"]})
    for person in (ada, ben):
        person.headers["X-Workspace"] = workspace["_id"]
    create(ben)
    refused = ben.post(PROMPTS, {"name": "movie-critic", "prompt": "x", "labels": ["production"]})
    assert (refused.status_code, "production" in refused.json["error"]) == (403, True)
    assert ben.patch(f"{PROMPTS}/movie-critic/versions/1", {"newLabels": ["production"]}).status_code == 403
    assert create(ada, labels=["production"])["version"] == 2  # nothing was left of what was refused


def test_the_password_of_basic_authentication_is_the_key(ada: Person, client: Caller) -> None:
    create(ada, labels=["production"])
    key = ada.post("/auth/keys", {"name": "k", "scopes": ["read"]}).json["key"]
    basic = {"Authorization": f"Basic {base64.b64encode(f'pk-lf-any:{key}'.encode()).decode()}"}
    for headers in (basic, {"Authorization": f"Bearer {key}"}, {"x-api-key": key}):
        assert client.get(f"{PROMPTS}/movie-critic", headers=headers).status_code == 200
    assert client.post(PROMPTS, {"name": "x", "prompt": "y"}, headers=basic).status_code == 403
    wrong = {"Authorization": f"Basic {base64.b64encode(b'pk-lf-any:sk-lf-wrong').decode()}"}
    assert client.get(f"{PROMPTS}/movie-critic", headers=wrong).status_code == 401


@pytest.mark.parametrize("name", ["movie-critic", "Movie critic"])
def test_a_generation_is_linked_to_the_version_it_names(ada: Person, name: str) -> None:
    create(ada, name=name, labels=["production"])
    create(ada, name=name)
    span = make_span(
        {
            "langfuse.observation.type": "generation",
            "langfuse.observation.output": json.dumps("Hi."),
            "langfuse.observation.prompt.name": name,
            "langfuse.observation.prompt.version": 2,
        }
    )
    assert export(ada, span).status_code == 200
    ((log,), (prompt,)) = ada.get("/logs").json, ada.get("/prompts").json
    assert (log["promptId"], log["promptVersion"]) == (prompt["_id"], 2)


def test_each_version_is_in_the_audit_trail(ada: Person) -> None:
    create(ada)
    create(ada, prompt="Another", tags=["t"])
    create(ada, prompt="Another")
    (workspace,) = ada.get("/workspaces").json
    entries = ada.get(f"/workspaces/{workspace['_id']}/audit").json
    changes = [(each["action"], each.get("before"), each.get("after")) for each in reversed(entries)]
    assert [change for change in changes if change[0].startswith("prompt.")] == [
        ("prompt.create", None, None),
        (
            "prompt.change",
            {"version": 1, "content": "Criticise {{movie}}."},
            {"version": 2, "content": "Another"},
        ),
        ("prompt.change", {"tags": []}, {"tags": ["t"]}),
        ("prompt.change", {"version": 2}, {"version": 3}),
    ]


def test_the_comment_of_a_first_version_survives_an_export(ada: Person) -> None:
    created = create(ada, **CHAT)
    exported = ada.get("/export").data
    (prompt,) = ada.get("/prompts").json
    assert ada.delete(f"/prompts/{prompt['_id']}").status_code == 204
    assert ada.open("/import", method="POST", data=exported, content_type="application/x-ndjson").status_code == 200
    assert get(ada, "support/reply").json == created
