"""The command `demo`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from config import Config
from promptcrafter import clock
from promptcrafter.maintenance.aggregation import mark_wrong
from promptcrafter.transfer import demo, demo_data
from tests.support.commands import done, refused, run
from tests.support.databases import only_sqlite
from tests.support.people import Caller, Person


@pytest.fixture
def config(config: Config) -> Config:
    """The settings of a service that listens on all addresses, so that its own URL names another one."""
    return replace(config, host="0")


@pytest.fixture
def mara(app: Flask, client: Caller) -> Person:
    """The first person of a new demonstration, signed in with what the command wrote."""
    made = run(app, "demo")
    url, email, password = done(made).split()
    assert url == "http://127.0.0.1:8000/app/sign-in"
    assert "3 prompts, 1,500 outputs" in made.stderr
    signed_in = client.post("/auth/login", json={"email": email, "password": password})
    assert signed_in.status_code == 200
    return Person(client, signed_in.json["user"]["_id"], signed_in.json["token"], email, password)


@only_sqlite
def test_behind_a_proxy_the_address_has_its_path_and_a_placeholder(
    make_app: Callable[[Config], Flask], config: Config
) -> None:
    made = run(make_app(replace(config, trusted_proxies=1, script_name="/prompts")), "demo")
    assert done(made).splitlines()[0] == "https://YOUR-SERVER/prompts/app/sign-in"


def ask(person: Person, path: str) -> Any:
    answer = person.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_the_demonstration_has_what_each_page_shows_and_check_finds_nothing_wrong(app: Flask, mara: Person) -> None:
    assert [each["slug"] for each in ask(mara, "/workspaces")][1:] == ["demo"]
    assert {member["role"] for member in ask(mara, "/workspaces/demo/members")} == {"owner", "editor"}
    prompts = {prompt["slug"]: prompt for prompt in ask(mara, "/prompts")}
    assert set(prompts) == {"reply-to-a-customer", "summarise-a-ticket", "classify-a-ticket"}
    reply = prompts["reply-to-a-customer"]
    versions = ask(mara, f"/prompts/{reply['_id']}/versions")
    assert len({version["author"]["name"] for version in versions}) == 3
    assert sum("comment" in version for version in versions) == 3
    moves = [entry for entry in ask(mara, "/workspaces/demo/audit") if entry["action"] == "label.set"]
    assert len({entry["at"][:10] for entry in moves}) > 10
    assert {entry["actor"]["kind"] for entry in moves} == {"user"}

    all_groups = ask(mara, "/stats?groupBy=model")["groups"]
    failed = sum(group["failed"] for group in all_groups)
    assert (len(all_groups), sum(group["count"] for group in all_groups)) == (4, demo_data.OUTPUTS - failed)
    assert failed > 5
    assert all(group["cost"]["mean"] > 0 and group["latencyMs"]["p95"] > 0 for group in all_groups)
    days = ask(mara, "/stats?groupBy=day")["groups"]
    assert (sum(group["count"] for group in days), len(days) > 50) == (demo_data.OUTPUTS - failed, True)

    results = ask(mara, "/experiments/reply-wording/results")
    assert results["comparisons"][0]["metrics"]["minutesToClose"]["settled"] is True
    traces = ask(mara, "/traces")
    assert len(traces) > 40
    assert all(trace["cost"] > 0 for trace in traces if "status" not in trace)

    assert done(run(app, "check")) == "The search finds everything: 1,500 logs, 3 prompts.\n"
    with app.app_context():
        assert mark_wrong(lambda done, total: None) == 0


def test_the_versions_of_the_demonstration_differ_really_and_a_judge_and_three_people_say_so(mara: Person) -> None:
    (reply,) = [prompt for prompt in ask(mara, "/prompts") if prompt["slug"] == "reply-to-a-customer"]
    for annotator in ("human", "judge"):
        found = ask(mara, f"/prompts/{reply['_id']}/stats?groupBy=version&annotator={annotator}")
        means = {group["version"]: group["score"]["mean"] for group in found["groups"]}
        assert means[4] > means[2] + 0.5 > means[1] + 0.5
        assert means[3] < means[4] - 1
    scored = ask(mara, "/logs?scored=true&per_page=200")
    raters = {
        score["author"]["name"]
        for log in scored[:40]
        for score in ask(mara, f"/logs/{log['_id']}/scores")
        if score["annotator"] == "human"
    }
    assert raters == {name for name, _, _ in demo.PEOPLE[: demo_data.PROGRAM]}


def test_a_demonstration_is_removed_with_its_accounts_and_can_be_made_again(app: Flask, mara: Person) -> None:
    removed = run(app, "demo", "--remove")
    assert (done(removed), removed.stderr) == ("", "Removed the workspace of the demonstration, and its accounts.\n")
    assert mara.get("/prompts").status_code == 401
    for listed in ("workspace", "user"):
        assert "demo" not in done(run(app, listed, "list"))
    assert run(app, "demo", "--remove").stderr == "There is no demonstration to remove.\n"
    assert done(run(app, "demo")).split()[2] != mara.password


@only_sqlite
def test_a_demonstration_is_refused_while_there_is_a_workspace_of_that_slug(app: Flask, ada: Person) -> None:
    done(run(app, "workspace", "add", "Demo", "--owner", ada.email))
    assert refused(run(app, "demo")) == (
        "There is a workspace demo already: remove it first, if it is that of the demonstration, by --remove."
    )
    assert refused(run(app, "demo", "--remove")) == (
        "The workspace demo was not made by this command: mara@demo.invalid does not own it."
    )
    assert ada.get("/workspaces/demo").status_code == 200
    assert len(ada.get("/workspaces").json) == 2


@only_sqlite
def test_a_demonstration_is_refused_while_one_of_its_addresses_is_taken(app: Flask, client: Caller) -> None:
    signed_up = client.post(
        "/auth/signup", json={"name": "Tom", "email": "tom@demo.invalid", "password": "correct horse battery"}
    )
    assert signed_up.status_code == 201
    assert refused(run(app, "demo")) == "There is an account tom@demo.invalid already."
    assert "tom@demo.invalid" in done(run(app, "user", "list"))


def test_what_the_demonstration_makes_up_is_the_same_each_time_but_for_ids() -> None:
    now = clock.now()
    first, second = demo_data.make(now), demo_data.make(now)
    assert [log.get("output") for log in first.logs] == [log.get("output") for log in second.logs]
    assert [fields["value"] for _, fields in first.scores] == [fields["value"] for _, fields in second.scores]
    assert first.logs[0]["_id"] != second.logs[0]["_id"]
