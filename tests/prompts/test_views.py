"""The routes under /prompts."""

from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask

from promptcrafter.database.session import get_engine
from promptcrafter.slugs import FOLDER_RULE, SLUG_RULE
from promptcrafter.workspaces.principal import personal_workspace_id
from tests.support.members import share
from tests.support.people import Caller, Person
from tests.support.statements import statements

BODY = {"title": "Explain steam engines", "content": "Explain {it} simply.", "model": "gpt-4o"}


def test_a_new_prompt_is_returned_completely(ada: Person) -> None:
    answer = ada.post("/prompts", {**BODY, "tags": ["history", "school"]})
    assert answer.status_code == 201
    prompt = answer.json
    assert prompt == {
        **BODY,
        "_id": prompt["_id"],
        "ownerId": ada.id,
        "slug": "explain-steam-engines",
        "tags": ["history", "school"],
        "version": 1,
        "labels": [],
        "createdAt": prompt["createdAt"],
        "updatedAt": prompt["createdAt"],
        "workspaceId": personal_workspace_id(ada.id),
        **{"description": "", "type": "text", "messages": None, "config": {}},
    }
    later = ["workspaceId", "description", "type", "messages", "config"]
    assert list(prompt)[-5:] == later, "after what earlier releases have shown"
    assert answer.headers["Location"] == f"/prompts/{prompt['_id']}"
    assert ada.get(answer.headers["Location"]).json == prompt


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "title, content, and model are required"),
        ({**BODY, "title": "ab"}, "title must have 3 to 100 characters."),
        ({**BODY, "title": "a" * 101}, "title must have 3 to 100 characters."),
        ({**BODY, "title": "    "}, "title must not be blank."),
        ({**BODY, "title": "R1"}, "title must have 3 to 100 characters."),
        ({**BODY, "title": "山"}, "title must have 3 to 100 characters."),
        ({**BODY, "title": "\u200b" * 3}, "title must not be blank."),
        ({**BODY, "title": "\u3164\u2800\ufe0f"}, "title must not be blank."),
        ({**BODY, "title": 7}, "title must be a string."),
        ({**BODY, "content": ""}, "content is required"),
        ({**BODY, "model": " "}, "model must not be blank."),
        ({**BODY, "tags": "history"}, "tags must be an array of strings."),
        ({**BODY, "tags": ["a", 1]}, "tags must be an array of strings."),
        ({**BODY, "model": "\u2060"}, "model must not be blank."),
        ({**BODY, "tags": ["a", "\u200d"]}, "tags must hold strings of 1 to 100 characters, not all blank."),
        ({**BODY, "tags": [" "]}, "tags must hold strings of 1 to 100 characters, not all blank."),
        ({**BODY, "tags": [str(n) for n in range(101)]}, "tags must have at most 100 entries."),
        ({**BODY, "slug": "No Slug"}, f"slug {SLUG_RULE}."),
        ({**BODY, "slug": "a\n"}, f"slug {SLUG_RULE}."),
    ],
)
def test_a_bad_field_is_named_with_its_rule(ada: Person, body: dict[str, Any], message: str) -> None:
    answer = ada.post("/prompts", body)
    assert (answer.status_code, answer.json["message"]) == (400, message)
    assert ada.get("/prompts").json == []


@pytest.mark.parametrize("title", ["翻译", "山1", "한국", "ＡＢ", "R1!", "👩\u200d🔬", "x" * 100, "译" * 100])
def test_a_title_has_three_characters_or_is_as_wide(ada: Person, title: str) -> None:
    prompt = ada.prompt(title=title)
    assert ada.get(f"/prompts/{prompt['_id']}").json["title"] == title
    assert ada.patch(f"/prompts/{prompt['_id']}", {"title": "R1"}).status_code == 400
    assert ada.patch(f"/prompts/{prompt['_id']}", {"title": title}).json["title"] == title


def test_null_in_an_optional_field_means_absent(ada: Person) -> None:
    answer = ada.post("/prompts", {**BODY, "tags": None, "slug": None})
    assert (answer.status_code, answer.json["tags"]) == (201, [])


def test_fields_that_the_server_sets_cannot_be_sent(ada: Person, ben: Person) -> None:
    sent = {"_id": "prompt_1", "ownerId": ben.id, "version": 7, "labels": ["production"], "updatedAt": "1999", "x": 1}
    prompt = ada.prompt(**sent)
    assert prompt["_id"] != "prompt_1"
    assert (prompt["ownerId"], prompt["version"], prompt["labels"]) == (ada.id, 1, [])
    assert "x" not in prompt
    changed = ada.patch(f"/prompts/{prompt['_id']}", {**sent, "title": "Another title"}).json
    assert changed == {**prompt, "title": "Another title", "updatedAt": changed["updatedAt"]}


def test_a_repeated_tag_is_stored_once(ada: Person) -> None:
    assert ada.prompt(tags=["b", "a", "b", "B"])["tags"] == ["b", "a", "B"]


def test_slugs_are_unique_for_each_owner(ada: Person, ben: Person) -> None:
    assert [ada.prompt(title=title)["slug"] for title in ("Über uns!", "Uber — uns", "Uber uns 3", "UBER UNS")] == [
        "uber-uns",
        "uber-uns-2",
        "uber-uns-3",
        "uber-uns-4",
    ]
    assert ben.prompt(title="Uber uns")["slug"] == "uber-uns"
    assert ada.prompt(title="日本語のタイトル")["slug"] == "prompt"
    assert ada.prompt(slug="mine")["slug"] == "mine"
    assert len(ada.prompt(title="㍱" * 100)["slug"]) <= 100
    answer = ada.post("/prompts", {**BODY, "slug": "mine"})
    assert (answer.status_code, answer.json["code"]) == (409, "slug_taken")
    assert "details" not in answer.json
    assert len(ada.get("/prompts").json) == 7


def test_the_list_is_the_callers_own_newest_first(ada: Person, ben: Person) -> None:
    prompts = [ada.prompt(title=f"Title {n}", tags=["t"] * n) for n in range(3)]
    ben.prompt()
    assert ada.get("/prompts").json == prompts[::-1]


def test_the_list_filters_by_exact_model_and_exact_tag(ada: Person) -> None:
    one = ada.prompt(model="gpt-4o", tags=["history", "school"])
    two = ada.prompt(model="gpt-4o-mini", tags=["history"])
    ada.prompt(model="GPT-4o", tags=["History", "histor"])
    assert ada.get("/prompts?model=gpt-4o").json == [one]
    assert ada.get("/prompts?tag=history").json == [two, one]
    assert ada.get("/prompts?tag=history&model=gpt-4o-mini").json == [two]
    assert ada.get("/prompts?tag=nothing").json == []
    assert ada.get("/prompts?tag=").status_code == 400


def test_the_list_filters_by_slug_by_label_and_by_all_of_several_tags(ada: Person, ben: Person) -> None:
    one = ada.prompt(slug="one", tags=["a", "b", "c"])
    two = ada.prompt(slug="two", tags=["b", "a"])
    three = ada.prompt(slug="three", tags=["a", "B"])
    ben.prompt(slug="four", tags=["a", "b"])
    for prompt, label in ((one, "production"), (three, "production"), (two, "Production"), (three, "beta")):
        ada.open(f"/prompts/{prompt['_id']}/labels/{label}", method="PUT", json={"version": 1})
    found = {
        "slug=two": ["two"],
        "slug=four": [],
        "label=production": ["three", "one"],
        "label=Production": ["two"],
        "label=gamma": [],
        "tag=a&tag=b": ["two", "one"],
        "tag=b&tag=a&tag=b&tag=c": ["one"],
        "tag=a&tag=nothing": [],
        "tag=a&label=production&slug=three&model=gpt-4o": ["three"],
        "tag=c&label=production&slug=three": [],
    }
    assert {query: [row["slug"] for row in ada.get(f"/prompts?{query}").json] for query in found} == found


def test_a_list_by_many_tags_is_no_longer_statement_than_one_by_two(app: Flask, ada: Person) -> None:
    tags = [f"tag{number}" for number in range(100)]
    ada.prompt(tags=tags)
    asked = []
    for number in (2, 100):
        with statements(app) as executed:
            assert len(ada.get(f"/prompts?{urlencode([('tag', tag) for tag in tags[:number]])}").json) == 1
        asked.append(sum(statement.count("FROM prompt_tags") for statement, _ in executed))
    assert asked[0] == asked[1], "PostgreSQL plans a join for each"


@pytest.mark.parametrize(
    ("query", "field", "reason"),
    [
        ("slug=No+Slug", "slug", SLUG_RULE),
        ("slug=", "slug", SLUG_RULE),
        ("folder=a/", "folder", FOLDER_RULE),
        ("folder=a/b/c/d", "folder", FOLDER_RULE),
        ("folder=a/versions", "folder", FOLDER_RULE),
        ("label=1", "label", "must match [A-Za-z][A-Za-z0-9._-]{0,63} and not be latest"),
        ("label=latest", "label", "must match [A-Za-z][A-Za-z0-9._-]{0,63} and not be latest"),
        ("tag=a&tag=", "tag", "must not be empty"),
        ("tag=%00", "tag", "must not contain the NUL character (U+0000)"),
        ("&".join(f"tag={n}" for n in range(101)), "tag", "may be given at most 100 times"),
        ("slug=a&slug=b", "slug", "must be given once"),
        ("label=a&label=b", "label", "must be given once"),
    ],
)
def test_a_malformed_filter_is_named(ada: Person, query: str, field: str, reason: str) -> None:
    answer = ada.get(f"/prompts?{query}")
    assert (answer.status_code, answer.json["details"]) == (400, {field: [reason]})


def test_a_hundred_tags_can_be_asked_for(ada: Person) -> None:
    tags = [f"t{number}" for number in range(100)]
    prompt = ada.prompt(tags=tags)
    assert ada.get(f"/prompts?{urlencode({'tag': tags}, doseq=True)}").json == [prompt]


def test_the_next_page_has_all_of_the_tags(ada: Person) -> None:
    for number in range(3):
        ada.prompt(slug=f"p{number}", tags=["a b", "ü&"])
        ada.prompt(tags=["a b"])
    path, slugs = f"/prompts?{urlencode({'tag': ['a b', 'ü&']}, doseq=True)}&per_page=1", []
    while path:
        answer = ada.get(path)
        slugs += [row["slug"] for row in answer.json]
        path = answer.headers.get("Link", "").partition("<http://localhost")[2].partition(">")[0]
    assert slugs == ["p2", "p1", "p0"]


def test_tags_are_counted_in_the_workspace_most_frequent_first(ada: Person, ben: Person) -> None:
    assert ada.get("/tags").json == []
    for tags in (["b", "z", "é"], ["b", "Z", "a"], ["b", "z", "\U0001f331", "\uffee"], ["a"]):
        ada.prompt(tags=tags)
    ada.delete(f"/prompts/{ada.prompt(tags=['b', 'gone'])['_id']}")
    ben.prompt(tags=["b", "of ben"])
    counts = [("b", 3), ("a", 2), ("z", 2), ("Z", 1), ("é", 1), ("\uffee", 1), ("\U0001f331", 1)]
    tags = ada.get("/tags").json
    assert tags == [{"tag": tag, "count": count} for tag, count in counts]
    headers = share(ada, ben, "viewer")
    assert ben.get("/tags", headers=headers).json == tags
    assert [row["tag"] for row in ben.get("/tags").json] == ["b", "of ben"]
    assert ada.get("/tags", headers={"Accept": "text/csv"}).text.splitlines()[:2] == ["tag,count", '"b","3"']


def test_tags_are_read_in_pages(ada: Person) -> None:
    for first in range(3):
        ada.prompt(tags=[f"t{number:02}" for number in range(first, 25)])
    everything = ada.get("/tags").json
    assert len(everything) == 25
    for size in (1, 7, 24, 25):
        path, rows = f"/tags?per_page={size}", []
        while path:
            answer = ada.get(path)
            assert len(answer.json) <= size
            rows += answer.json
            path = answer.headers.get("Link", "").partition("<http://localhost")[2].partition(">")[0]
        assert rows == everything
    assert list(ada.get("/tags?cursor=x").json["details"]) == ["cursor"]
    assert ada.get("/tags?cursor=99").json == []


@pytest.mark.parametrize("engine_name", ["postgresql"])
def test_postgresql_counts_the_tags_of_one_workspace_by_indices(app: Flask, ada: Person) -> None:
    with statements(app) as seen:
        ada.get("/tags")
    statement, parameters = next((sql, values) for sql, values in seen if "prompt_tags" in sql)
    with app.app_context(), get_engine().connect() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters))
    assert "Seq Scan on prompts" not in plan
    assert "workspace_id" in plan


@pytest.mark.parametrize(
    ("prompt_id", "status", "message"),
    [
        ("prompt_01jz8x4m5n6p7q8r9s0t1v2w3x", 404, "Prompt not found"),
        ("prompt104", 404, "Prompt not found"),
        ("abc", 400, "The prompt ID format is invalid."),
        ("log_01jz8x4m5n6p7q8r9s0t1v2w3x", 400, "The prompt ID format is invalid."),
        ("prompt_", 400, "The prompt ID format is invalid."),
        ("prompt_" + "a" * 41, 400, "The prompt ID format is invalid."),
        ("prompt_a%00", 400, "The prompt ID format is invalid."),
        ("prompt_a%0A", 400, "The prompt ID format is invalid."),
        ("prompt_%D9%A3", 400, "The prompt ID format is invalid."),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_unknown_and_malformed_ids_are_refused(
    ada: Person, method: str, prompt_id: str, status: int, message: str
) -> None:
    answer = ada.open(f"/prompts/{prompt_id}", method=method, json={} if method == "PATCH" else None)
    assert (answer.status_code, answer.json["message"]) == (status, message)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_prompts_of_another_account_are_403(ada: Person, ben: Person, method: str) -> None:
    prompt = ada.prompt()
    answer = ben.open(f"/prompts/{prompt['_id']}", method=method, json={"title": "Mine"} if method == "PATCH" else None)
    assert (answer.status_code, answer.json["message"]) == (403, "You do not own this prompt")
    assert ada.get(f"/prompts/{prompt['_id']}").json == prompt


def test_a_patch_changes_what_it_names(ada: Person) -> None:
    prompt = ada.prompt(tags=["a", "b"])
    path = f"/prompts/{prompt['_id']}"
    assert ada.patch(path, {}).json == prompt
    assert ada.patch(path, {"title": None, "content": None, "model": None, "tags": None, "slug": None}).json == prompt
    renamed = ada.patch(path, {"title": "Another", "tags": ["b", "c", "a"], "slug": "other"}).json
    assert renamed == {
        **prompt,
        "title": "Another",
        "tags": ["b", "c", "a"],
        "slug": "other",
        "updatedAt": renamed["updatedAt"],
    }
    assert renamed["updatedAt"] >= prompt["updatedAt"]
    assert ada.patch(path, {"tags": []}).json["tags"] == []
    assert ada.patch(path, {"title": "x"}).status_code == 400
    assert ada.patch(path, {"content": ""}).status_code == 400


def test_a_new_content_or_model_makes_a_new_version(ada: Person) -> None:
    prompt = ada.prompt()
    path = f"/prompts/{prompt['_id']}"
    changes = [{"content": "New"}, {"content": "New"}, {"model": "o3"}, {"title": "New title"}, {"content": "Old"}]
    assert [ada.patch(path, change).json["version"] for change in changes] == [2, 2, 3, 3, 4]


def test_a_slug_cannot_be_changed_to_a_taken_one(ada: Person) -> None:
    ada.prompt(slug="taken")
    prompt = ada.prompt(slug="free")
    answer = ada.patch(f"/prompts/{prompt['_id']}", {"slug": "taken", "title": "Not stored"})
    assert (answer.status_code, answer.json["code"]) == (409, "slug_taken")
    assert ada.get(f"/prompts/{prompt['_id']}").json == prompt


def test_a_deleted_prompt_is_gone_with_its_logs(ada: Person) -> None:
    prompt, other = ada.prompt(title="Photosynthesis"), ada.prompt()
    log, kept = ada.log(prompt), ada.log(other)
    answer = ada.delete(f"/prompts/{prompt['_id']}")
    assert (answer.status_code, answer.data) == (204, b"")
    assert ada.get(f"/prompts/{prompt['_id']}").status_code == 404
    assert ada.delete(f"/prompts/{prompt['_id']}").status_code == 404
    assert ada.get(f"/logs?promptId={prompt['_id']}").status_code == 404
    assert ada.get(f"/logs/{log['_id']}").status_code == 404
    assert ada.get("/search?q=photo").json == []
    assert ada.get("/prompts").json == [other]
    assert ada.get("/logs").json == [kept]


def test_an_etag_avoids_repeated_transfers_and_lost_updates(ada: Person) -> None:
    prompt = ada.prompt()
    path = f"/prompts/{prompt['_id']}"
    tag = ada.get(path).headers["ETag"]
    assert not tag.startswith("W/")
    unchanged = ada.get(path, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    assert ada.get(path, headers={"If-Match": '"another"'}).json == prompt, "it guards changes, not reads"
    changed = ada.patch(path, {"title": "Another"}, headers={"If-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] == ada.get(path).headers["ETag"] != tag
    for late in (
        ada.patch(path, {"title": "Lost"}, headers={"If-Match": tag}),
        ada.delete(path, headers={"If-Match": tag}),
    ):
        assert (late.status_code, late.json["code"]) == (412, "precondition_failed")
    for malformed in (tag[:-1], '"', 'abc"', 'W/"', '"abc" "def"', '""x', ",", " ", "*, *"):
        for refused in (
            ada.patch(path, {"title": "Lost"}, headers={"If-Match": malformed}),
            ada.delete(path, headers={"If-Match": malformed}),
        ):
            assert (refused.status_code, list(refused.json["details"])) == (400, ["If-Match"]), malformed
    assert ada.get(path).json["title"] == "Another"
    unquoted = {"If-Match": changed.headers["ETag"].strip('"')}
    assert ada.patch(path, {"title": "Without quotes"}, headers=unquoted).status_code == 200
    assert ada.patch(path, {"title": "Any"}, headers={"If-Match": "*"}).status_code == 200
    assert ada.delete(path, headers={"If-Match": f'"x", {ada.get(path).headers["ETag"]}'}).status_code == 204


def test_an_etag_covers_where_each_label_is(ada: Person) -> None:
    prompt = ada.prompt()
    path = f"/prompts/{prompt['_id']}"
    ada.patch(path, {"content": "two"})

    def read() -> str:
        tag = ada.get(path).headers["ETag"]
        assert ada.open(path, method="HEAD").headers["ETag"] == tag
        return tag

    def set_label(name: str, version: int) -> str:
        answer = ada.open(f"{path}/labels/{name}", method="PUT", json={"version": version})
        assert answer.headers["ETag"] == read()
        return answer.headers["ETag"]

    tags = [read(), set_label("production", 1), set_label("beta", 1), set_label("production", 2)]
    assert ada.delete(f"{path}/labels/beta").status_code == 204
    tags += [read(), set_label("beta", 2)]
    assert len(set(tags)) == len(tags)
    ada.post(f"/basalt/prompts/{prompt['slug']}/publish", {"newTag": "beta", "version": "1.0.0"})
    tags.append(read())
    assert tags[-1] == tags[3], "the labels are where they were then"
    for tag in tags[:3] + tags[4:6]:
        for method in ("GET", "HEAD"):
            assert ada.open(path, method=method, headers={"If-None-Match": tag}).status_code == 200
        for late in (
            ada.patch(path, {"title": "Lost"}, headers={"If-Match": tag}),
            ada.delete(path, headers={"If-Match": tag}),
        ):
            assert (late.status_code, late.json["code"]) == (412, "precondition_failed")
    for method in ("GET", "HEAD"):
        assert ada.open(path, method=method, headers={"If-None-Match": tags[-1]}).status_code == 304
    assert ada.patch(path, {"title": "Another"}, headers={"If-Match": tags[-1]}).status_code == 200


def test_a_new_prompt_comes_with_its_etag(ada: Person) -> None:
    answer = ada.post("/prompts", BODY)
    assert answer.headers["ETag"] == ada.get(answer.headers["Location"]).headers["ETag"]


def test_labels_are_set_and_removed_and_versions_restored_only_in_the_state_that_is_named(ada: Person) -> None:
    prompt = ada.prompt()
    path = f"/prompts/{prompt['_id']}"
    old = ada.get(path).headers["ETag"]
    ada.patch(path, {"title": "Another"})
    ada.open(f"{path}/labels/production", method="PUT", json={"version": 1})
    calls: list[tuple[str, str, Any, int]] = [
        ("PUT", f"{path}/labels/production", {"version": 1}, 200),
        ("DELETE", f"{path}/labels/production", None, 204),
        ("POST", f"{path}/versions/1/restore", None, 201),
    ]
    for method, url, body, status in calls:
        current = ada.get(path).headers["ETag"]
        late = ada.open(url, method=method, json=body, headers={"If-Match": old})
        assert (late.status_code, late.json["code"]) == (412, "precondition_failed")
        assert ada.get(path).headers["ETag"] == current
        assert ada.open(url, method=method, json=body, headers={"If-Match": current}).status_code == status


def test_a_prompt_is_found_by_its_slug(ada: Person, ben: Person) -> None:
    prompt = ada.prompt(slug="support-reply")
    path = f"/prompts/{prompt['_id']}"
    answer = ada.get("/prompts/by-slug/support-reply")
    assert answer.json == prompt
    assert answer.headers["ETag"] == ada.get(path).headers["ETag"]
    headers = {"If-None-Match": answer.headers["ETag"]}
    assert ada.get("/prompts/by-slug/support-reply", headers=headers).status_code == 304
    ada.open(f"{path}/labels/production", method="PUT", json={"version": 1})
    assert ada.get("/prompts/by-slug/support-reply", headers=headers).json["labels"] == ["production"]
    for person, slug in ((ben, "support-reply"), (ada, "Support-Reply"), (ada, "é"), (ada, prompt["_id"])):
        missing = person.get(f"/prompts/by-slug/{slug}")
        assert (missing.status_code, missing.json["code"]) == (404, "prompt_not_found")
    words = [ada.prompt(slug=slug) for slug in ("versions", "stats", "diff", "render", "by-slug")]
    assert [ada.get(f"/prompts/by-slug/{word['slug']}").json for word in words] == words, "no other route is meant"


def test_a_slug_that_is_sent_as_an_id_gets_a_hint(ada: Person) -> None:
    ada.prompt(slug="support-reply")
    log = {"promptId": "support-reply", "output": "x", "modelUsed": "m"}
    variants = [{"key": "A", "trafficPercent": 1, "promptId": "support-reply"}]
    calls: list[tuple[str, str, Any, int]] = [
        ("GET", "/prompts/support-reply", None, 400),
        ("PATCH", "/prompts/support-reply", {"title": "New"}, 400),
        ("DELETE", "/prompts/support-reply", None, 400),
        ("GET", "/prompts/support-reply/versions", None, 400),
        ("GET", "/prompts/support-reply/versions/1", None, 400),
        ("POST", "/prompts/support-reply/versions/1/restore", None, 400),
        ("PUT", "/prompts/support-reply/labels/production", {"version": 1}, 400),
        ("DELETE", "/prompts/support-reply/labels/production", None, 400),
        ("GET", "/prompts/support-reply/diff?from=1&to=2", None, 400),
        ("POST", "/prompts/support-reply/render", {"variables": {}}, 400),
        ("GET", "/prompts/support-reply/stats", None, 400),
        ("GET", "/logs?promptId=support-reply", None, 400),
        ("GET", "/logs-by-prompt?promptId=support-reply", None, 400),
        ("POST", "/logs", log, 404),
        ("POST", "/experiments", {"slug": "e", "name": "n", "variants": variants}, 404),
    ]
    hint = "must be an id, such as prompt_…; GET /prompts/by-slug/support-reply finds a prompt by its slug"
    texts = {400: "The prompt ID format is invalid.", 404: "Prompt not found"}
    for method, path, body, status in calls:
        answer = ada.open(path, method=method, json=body)
        assert (answer.status_code, answer.json["message"]) == (status, texts[status])
        of_log = "; a log under a slug takes POST /monitor/log" if status == 404 else ""
        assert answer.json["details"] == {"promptId": [hint + of_log]}
    (result,) = ada.post("/logs/batch", {"logs": [log]}).json["results"]
    assert (result["status"], result["details"]) == (
        404,
        {"promptId": [f"{hint}; a log under a slug takes POST /monitor/log"]},
    )
    for malformed in ("Support Reply", "prompt_", "log_1", "a" * 121, "prompt104"):
        assert "details" not in ada.get(f"/prompts/{malformed}").json


def test_unauthenticated_calls_are_refused(client: Caller, ada: Person) -> None:
    path = f"/prompts/{ada.prompt()['_id']}"
    for method in ("GET", "PATCH", "DELETE"):
        answer = client.open(path, method=method, json={"title": "Mine"})
        assert (answer.status_code, answer.json["message"]) == (401, "Invalid or missing bearer token")
