"""Slugs of several segments, and the folders that they make."""

import pytest

from promptcrafter.slugs import RESERVED, SLUG_RULE
from tests.support.people import Person
from tests.support.transfer import NDJSON_HEADERS, export, remove_all

GOOD = (
    *(
        "a/b",
        "support/reply/short",
        "a/b/c/d",
        "-/-",
        "0/1",
        f"{'a' * 59}/{'b' * 60}",
        "versions-2/labels-2",
        "a/version",
    ),
    *(f"{word}/{number}" for number, word in enumerate(RESERVED)),
)
BAD = (
    *("/", "/a", "a/", "a//b", "a/b/c/d/e", "a/B", "a/b\n", "a/é", "a/b c", f"{'a' * 60}/{'b' * 60}", "a\\b", "a/../b"),
    *(f"a/{word}" for word in RESERVED),
    *("a/versions/b", "a/b/c/labels", "versions/versions"),
)


def make(person: Person, slug: str) -> None:
    person.prompt(slug=slug, title=f"Of {slug}"[:100])


def listed(person: Person, query: str) -> list[str]:
    return [row["slug"] for row in person.get(f"/prompts?{query}").json]


def test_a_slug_has_up_to_four_segments_of_which_none_but_the_first_is_reserved(ada: Person) -> None:
    for slug in GOOD:
        prompt = ada.prompt(slug=slug)
        assert prompt["slug"] == slug
        assert listed(ada, f"slug={slug}") == [slug]
        for path in (slug, slug.replace("/", "%2F")):
            assert ada.get(f"/prompts/by-slug/{path}").json == prompt
    for slug in BAD:
        answer = ada.post("/prompts", {"title": "Any title", "content": "c", "model": "m", "slug": slug})
        assert (answer.status_code, answer.json["details"]) == (400, {"slug": [SLUG_RULE]}), slug
    path = f"/prompts/{ada.prompt()['_id']}"
    assert ada.patch(path, {"slug": "moved/here"}).json["slug"] == "moved/here"
    assert ada.patch(path, {"slug": "a/b"}).json["code"] == "slug_taken"
    assert ada.prompt(title="Support / reply")["slug"] == "support-reply", "a title makes no folder"


def test_a_folder_lists_what_is_in_it_at_any_depth_and_nothing_beside_it(ada: Person, ben: Person) -> None:
    inside = ("support/reply", "support/reply/short", "support/0", "support/--", "support/z/z/z")
    for slug in (*inside, "support", "support-2", "support0", "supportive/reply", "other/support/reply", "s/x"):
        make(ada, slug)
    make(ben, "support/ben")
    assert listed(ada, "folder=support") == [*reversed(inside)]
    assert listed(ada, "folder=support/reply") == ["support/reply/short"]
    assert listed(ada, "folder=support/z/z") == ["support/z/z/z"]
    assert listed(ada, "folder=suppor") == listed(ada, "folder=none") == []
    (short,) = ada.get("/prompts?slug=support/reply/short").json
    ada.patch(f"/prompts/{short['_id']}", {"tags": ["t"], "model": "another"})
    assert listed(ada, "folder=support&tag=t") == listed(ada, "folder=support&model=another") == [short["slug"]]
    assert listed(ada, "folder=other&tag=t") == []
    ada.delete(f"/prompts/{short['_id']}")
    path, slugs = "/prompts?folder=support&per_page=1", []
    while path:
        answer = ada.get(path)
        slugs += [row["slug"] for row in answer.json]
        path = answer.headers.get("Link", "").partition("<http://localhost")[2].partition(">")[0]
    assert slugs == ["support/z/z/z", "support/--", "support/0", "support/reply"]


def test_a_slug_with_folders_that_is_sent_as_an_id_gets_a_hint(ada: Person) -> None:
    log = {"promptId": "support/reply", "output": "x", "modelUsed": "m"}
    hint = "must be an id, such as prompt_…; GET /prompts/by-slug/support/reply finds a prompt by its slug; "
    hint += "a log under a slug takes POST /monitor/log"
    assert ada.post("/logs", log).json["details"] == {"promptId": [hint]}
    assert "details" not in ada.post("/logs", {**log, "promptId": "support/versions"}).json


@pytest.mark.parametrize("kept", [True, False])
def test_folders_are_exported_and_imported(ada: Person, kept: bool) -> None:
    long = f"{'a' * 59}/{'b' * 60}"
    for slug in ("support/reply", long):
        make(ada, slug)
    lines = export(ada)
    if kept:
        remove_all(ada)
        answer = ada.post("/import", data=lines, headers=NDJSON_HEADERS)
        new = ["support/reply", long]
    else:
        make(ada, "support/reply-2")
        answer = ada.post("/import?ids=new", data=lines, headers=NDJSON_HEADERS)
        new = ["support/reply", "support/reply-2", "support/reply-3", long, f"{long[:-2]}-2"]
    assert answer.status_code == 200, answer.text
    assert sorted(listed(ada, "")) == sorted(new)


def test_basalts_clients_read_prompts_in_folders(ada: Person) -> None:
    for slug in ("support/reply", "describe/publish-it", "publish"):
        make(ada, slug)
        prompt = ada.get(f"/prompts/by-slug/{slug}").json
        ada.open(f"/prompts/{prompt['_id']}/labels/production", method="PUT", json={"version": 1})
        for path in (slug, slug.replace("/", "%2F")):
            assert ada.get(f"/basalt/prompts/{path}").json["prompt"]["slug"] == slug
            assert ada.get(f"/basalt/prompts/{path}/describe").json["prompt"]["slug"] == slug
            published = ada.post(f"/basalt/prompts/{path}/publish", {"newTag": "beta", "version": "1.0.0"})
            assert published.status_code == 201
        assert ada.get(f"/prompts/by-slug/{slug}").json["labels"] == ["beta", "production"]
        output = ada.post("/basalt/monitor/log", {"slug": slug, "output": "o"})
        assert "warning" not in output.json or output.json["warning"] is None


def test_versions_are_read_and_rendered_by_slug_whatever_the_slug_is(ada: Person, ben: Person) -> None:
    slugs = (*("support/reply", "support", "by-slug", *RESERVED), *(f"{word}/1" for word in RESERVED), "a/b/c/d")
    for slug in slugs:
        prompt = ada.prompt(slug=slug, content=f"{slug}: {{{{x}}}}")
        path = f"/prompts/{prompt['_id']}"
        ada.patch(path, {"content": f"{slug}, again: {{{{x}}}}"})
        ada.open(f"{path}/labels/production", method="PUT", json={"version": 1})
    for slug in slugs:
        by_slug = f"/prompts/by-slug/{slug}"
        path = f"/prompts/{ada.get(by_slug).json['_id']}"
        for name in ("1", "2", "3", "production", "latest", "gamma", "0", "é"):
            by_id = ada.get(f"{path}/versions/{name}")
            answer = ada.get(f"{by_slug}/versions/{name}")
            assert answer.json == {
                **by_id.json,
                **{key: answer.json[key] for key in answer.json.keys() & {"requestId"}},
            }
            assert (answer.status_code, answer.headers.get("ETag")) == (by_id.status_code, by_id.headers.get("ETag"))
        assert ada.get(f"{by_slug}/versions/production").json["content"] == f"{slug}: {{{{x}}}}"
        for version in ({}, {"version": "production"}, {"version": 2}):
            rendered = ada.post(f"{by_slug}/render", {"variables": {"x": "y"}, **version})
            assert rendered.json == ada.post(f"{path}/render", {"variables": {"x": "y"}, **version}).json
        missing = ada.post(f"{by_slug}/render", {"variables": {}})
        assert missing.json["message"] == ada.post(f"{path}/render", {"variables": {}}).json["message"]
    calls = [
        ("GET", "/prompts/by-slug/support", 404, "prompt_not_found"),
        ("GET", "/prompts/by-slug/support/versions/1", 404, "prompt_not_found"),
        ("POST", "/prompts/by-slug/support/render", 404, "prompt_not_found"),
        ("GET", "/prompts/by-slug/support/versions", 404, "route_not_found"),
        ("GET", "/prompts/by-slug/support/versions/1/x", 404, "route_not_found"),
        ("GET", "/prompts/by-slug/support/labels/production", 404, "route_not_found"),
        ("GET", "/prompts/by-slug/support//versions/1", 404, "route_not_found"),
        ("GET", "/prompts/by-slug/support/", 404, "route_not_found"),
        ("GET", "/prompts/by-slug/support/render", 405, "method_not_allowed"),
        ("PATCH", "/prompts/by-slug/support/reply", 405, "method_not_allowed"),
    ]
    for method, path, status, code in calls:
        answer = ben.open(path, method=method, json=None if method == "GET" else {"variables": {}})
        assert (answer.status_code, answer.json["code"]) == (status, code), (method, path)
