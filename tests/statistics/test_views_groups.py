"""Groups of logs of a prompt or of a workspace, by whatever they are made, on both databases."""

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from promptcrafter import clock
from promptcrafter.database import cascade
from promptcrafter.maintenance import purge
from promptcrafter.statistics import store
from tests.support.members import share
from tests.support.people import Person


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The time of the application, in a list of one."""
    moment = [datetime(2026, 3, 28, 12, tzinfo=UTC)]
    monkeypatch.setattr(clock, "now", lambda: moment[0])
    return moment


def groups_of(person: Person, path: str) -> list[dict[str, Any]]:
    answer = person.get(path)
    assert answer.status_code == 200, answer.text
    return list(answer.json["groups"])


def counts_of(person: Person, path: str, *keys: str) -> list[Any]:
    """Return the values of the keys, and the number of logs, of each group."""
    return [(*(group[key] for key in keys), group["count"]) for group in groups_of(person, path)]


def score(person: Person, log: dict[str, Any], value: Any, **more: Any) -> None:
    answer = person.post(f"/logs/{log['_id']}/scores", {"name": "score", "value": value, **more})
    assert answer.status_code in (200, 201), answer.text


def test_periods_are_those_of_the_time_zone_and_empty_ones_are_in_order(ada: Person, now: list[datetime]) -> None:
    prompt = ada.prompt()
    path = f"/prompts/{prompt['_id']}/stats?groupBy="
    # Berlin's day of 23 hours: summer time begins on Sunday, 2026-03-29 at 01:00 UTC
    for moment, version_model in (
        ("2026-03-28T22:59", "a"),  # 23:59 in Berlin
        ("2026-03-28T23:00", "a"),  # 00:00 on Sunday
        ("2026-03-29T21:59", "b"),  # 23:59, in summer time
        ("2026-03-29T22:00", "b"),  # 00:00 on Monday
        ("2026-04-02T10:00", "b"),
    ):
        now[0] = datetime.fromisoformat(f"{moment}:00Z")
        ada.log(prompt, modelUsed=version_model, score=5)
    assert counts_of(ada, f"{path}day&tz=Europe/Berlin", "day") == [
        ("2026-03-28", 1),
        ("2026-03-29", 2),
        ("2026-03-30", 1),
        ("2026-03-31", 0),
        ("2026-04-01", 0),
        ("2026-04-02", 1),
    ]
    assert [count for *_, count in counts_of(ada, f"{path}day", "day")] == [2, 2, 0, 0, 0, 1]
    assert counts_of(ada, f"{path}week&tz=Europe/Berlin", "week") == [("2026-W13", 3), ("2026-W14", 2)]
    assert counts_of(ada, f"{path}week", "week") == [("2026-W13", 4), ("2026-W14", 1)]
    assert counts_of(ada, f"{path}month&tz=Pacific/Kiritimati", "month") == [("2026-03", 4), ("2026-04", 1)]
    by_both = counts_of(ada, f"{path}model,day", "day", "model")
    assert by_both[:4] == [
        ("2026-03-28", "a", 2),
        ("2026-03-28", "b", 0),
        ("2026-03-29", "b", 2),
        ("2026-03-29", "a", 0),
    ]
    assert len(by_both) == 12
    now[0] = datetime(2029, 1, 1, tzinfo=UTC)
    ada.log(prompt)
    refused = ada.get(f"{path}day")
    assert refused.json["details"] == {
        "groupBy": ["makes 1,011 groups by day, of 1,000 at most; narrow it, for example by since or promptId"]
    }
    assert len(groups_of(ada, f"{path}week")) == 146
    weeks = [group["week"] for group in groups_of(ada, f"{path}week&since=2026-04-01")]
    assert [weeks[39], weeks[40], weeks[-1]] == ["2026-W53", "2027-W01", "2029-W01"]
    for zone, months in (("America/Argentina/Buenos_Aires", 34), ("Etc/GMT%2B1", 34), ("Etc/UTC", 35), ("UTC", 35)):
        assert len(groups_of(ada, f"{path}month&tz={zone}")) == months
    others = ("localtime", "posixrules", "posix/Europe/Berlin", "right/UTC", "Factory", "EST5EDT", "GMT", "America/")
    for zone in ("Europe", "Nowhere/Else", "../x", "a%20b", "Europe/Berlin%0A", "America/Argentina", *others):
        assert ada.get(f"{path}day&tz={zone}").json["details"] == {"tz": ["must be a time zone, such as Europe/Berlin"]}


def test_a_workspace_is_grouped_by_prompt_label_author_and_metadata(ada: Person, ben: Person) -> None:
    ben.headers |= share(ada, ben, "editor")
    one, other = ada.prompt(), ada.prompt()
    ada.patch(f"/prompts/{one['_id']}", {"content": "another"})
    ada.put(f"/prompts/{one['_id']}/labels/production", {"version": 1})
    ada.put(f"/prompts/{one['_id']}/labels/best", {"version": 1})
    for version, metadata in ((1, {"region": "eu"}), (1, {"region": 7}), (2, {"region": True}), (2, {"region": "eu"})):
        ada.log(one, promptVersion=version, metadata=metadata)
    ben.log(other, metadata={"region": {"a": 1}})
    ben.log(other, metadata={"region": None, 'a.b "c': 1})
    ben.log(other)
    ada.post("/monitor/log", {"slug": "nowhere", "output": "x"})
    assert counts_of(ada, "/stats?groupBy=prompt", "prompt") == [(one["_id"], 4), (other["_id"], 3), (None, 1)]
    assert counts_of(ada, "/stats?groupBy=label", "label") == [(None, 6), ("best", 2), ("production", 2)]
    assert counts_of(ada, "/stats?groupBy=author", "author") == [(ada.id, 5), (ben.id, 3)]
    assert counts_of(ada, "/stats?groupBy=metadata.region", "metadata") == [
        ({"region": None}, 4),
        ({"region": "eu"}, 2),
        ({"region": "7"}, 1),
        ({"region": "true"}, 1),
    ]
    assert counts_of(ada, f"/prompts/{one['_id']}/stats?groupBy=label,version", "label", "version") == [
        ("best", 1, 2),
        ("production", 1, 2),
        (None, 2, 2),
    ]
    assert ada.get("/stats?groupBy=version,prompt").json["groupBy"] == ["prompt", "version"]
    assert counts_of(ada, f"/stats?promptId={one['_id']}&promptVersion=production&groupBy=version", "version") == [
        (1, 2)
    ]
    table = ada.get("/stats?groupBy=author,metadata.region", headers={"Accept": "text/csv"}).text
    first, *_ = csv.DictReader(io.StringIO(table))
    assert list(first)[:4] == ["author", "metadata.region", "count", "score.count"]
    assert sorted({row["metadata.region"] for row in csv.DictReader(io.StringIO(table))}) == ["", "7", "eu", "true"]
    ada.log(other, metadata={"gen_ai.system": "x", "gen_ai": "y"})
    table = ada.get("/stats?groupBy=metadata.gen_ai.system,prompt", headers={"Accept": "text/csv"}).text
    assert {row["metadata.gen_ai.system"] for row in csv.DictReader(io.StringIO(table))} == {"", "x"}
    assert ada.get("/stats?groupBy=metadata.gen_ai.system,metadata.gen_ai").status_code == 400
    ben.headers.pop("X-Workspace")
    assert ben.get(f"/stats?promptId={one['_id']}").status_code == 200  # of which he is a member
    assert groups_of(ben, "/stats") == []


def test_values_are_means_of_the_people_who_scored_and_failed_calls_are_apart(ada: Person, ben: Person) -> None:
    ben.headers |= share(ada, ben, "editor")
    prompt = ada.prompt()
    log = ada.log(prompt, score=9, latencyMs=10, cost=1)
    score(ben, log, 4)
    second = ada.log(prompt)
    score(ben, second, 8)
    ada.post("/logs", {"promptId": prompt["_id"], "modelUsed": "gpt-4o", "status": "error", "error": "429", "cost": 9})
    (group,) = groups_of(ada, f"/prompts/{prompt['_id']}/stats")
    assert (group["count"], group["failed"], group["ratings"], group["cost"]["total"]) == (2, 1, 3, 1)
    assert (group["score"]["count"], group["score"]["mean"], group["score"]["min"]) == (2, 7.25, 6.5)


def test_other_scores_are_taken_apart_by_name_annotator_and_kind(ada: Person) -> None:
    prompt = ada.prompt()
    logs = [ada.log(prompt, latencyMs=number) for number in range(3)]
    for log, value, identifier in ((0, 1, "a"), (0, 3, "b"), (1, 5, "a"), (2, True, "a"), (2, "fine", "b")):
        score(ada, logs[log], value, name="tone", annotator="judge", identifier=identifier)
    for log, value in ((0, "good"), (1, "good"), (2, "bad")):
        score(ada, logs[log], value, name="label")
    for log, value in ((0, True), (1, False)):
        score(ada, logs[log], value, name="passed", annotator="code")
    path = f"/prompts/{prompt['_id']}/stats"
    tone = ada.get(f"{path}?score=tone&annotator=judge").json
    assert (tone["score"], tone["annotator"], tone["kind"]) == ("tone", "judge", "number")
    assert tone["kinds"] == {"number": 3, "boolean": 1, "category": 1}
    kinds = [ada.get(f"{path}?{query}").json["kind"] for query in ("", "score=label", "score=passed&annotator=code")]
    assert kinds == ["number", "category", "boolean"]
    (group,) = tone["groups"]
    assert (group["score"]["count"], group["score"]["mean"], group["ratings"]) == (2, 3.5, 3)
    assert (group["bestLogId"], group["latencyMs"]["count"]) == (logs[1]["_id"], 3)
    score(ada, logs[0], 1, name="label", identifier="a typo")
    (group,) = groups_of(ada, f"{path}?score=label")
    assert (group["categories"], group["score"]["count"], group["ratings"]) == ({"bad": 1, "good": 2}, 0, 3)
    (group,) = groups_of(ada, f"{path}?score=passed&annotator=code")
    assert (group["score"]["mean"], group["score"]["max"]) == (0.5, 1)
    (group,) = groups_of(ada, f"{path}?score=tone")  # by people
    assert (group["count"], group["score"]["count"]) == (3, 0)
    assert ada.get(f"{path}?score=1x").status_code == 400
    assert ada.get(f"{path}?annotator=robot").status_code == 400


def test_what_would_read_too_much_is_refused(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = ada.prompt()
    path = f"/prompts/{prompt['_id']}/stats"
    for number in range(4):
        log = ada.log(prompt, metadata={"number": number})
        score(ada, log, 1, name="tone")
    monkeypatch.setattr(store, "LOGS_MAX", 3)
    narrow = "narrow it, for example by since or promptId"
    assert len(groups_of(ada, path)) == 1  # as it always was
    for refused in ("/stats", f"{path}?groupBy=day", f"{path}?tz=Europe/Berlin"):
        assert ada.get(refused).json["details"] == {"since": [f"selects more than 3 logs; {narrow}"]}
    monkeypatch.setattr(store, "LOGS_MAX", 4)
    monkeypatch.setattr(store, "SCORES_MAX", 3)
    assert ada.get(f"{path}?score=tone").json["details"] == {"score": [f"has more than 3 scores here; {narrow}"]}
    monkeypatch.setattr(store, "GROUPS_MAX", 3)
    monkeypatch.setattr(store, "Cell", None)  # before anything is made of the logs
    refusal = ada.get(f"{path}?groupBy=metadata.number").json
    assert refusal["details"] == {"groupBy": [f"makes more than 3 groups; {narrow}"]}


def test_answers_are_the_same_on_both_databases_and_in_any_order_of_logs(ada: Person) -> None:
    """The figures are exact: sums do not depend on the order in which they are made."""
    prompts = [ada.prompt(), ada.prompt()]
    logs = [
        {"output": "x", "modelUsed": "m", "cost": cost, "latencyMs": cost * 7, "score": 7.3, "input": f"{number}"}
        for number, cost in enumerate([0.1, 0.2, 0.3, 1e16, 1e-9, 3.3])
    ]
    for prompt, ordered in zip(prompts, (logs, logs[::-1]), strict=True):
        ada.post("/logs/batch", {"logs": [{**log, "promptId": prompt["_id"]} for log in ordered]})
    first, second = (json.dumps(groups_of(ada, f"/prompts/{prompt['_id']}/stats")[0]["cost"]) for prompt in prompts)
    assert first == second == '{"count": 6, "total": 10000000000000004, "mean": 1666666666666667.2}'


def test_statistics_are_of_the_logs_that_a_search_lists(ada: Person) -> None:
    prompt = ada.prompt()
    for output, notes in (
        ("a black hole", "dark"),
        ("a hole, black", None),
        ("earth and moon", "black"),
        ("earth", None),
    ):
        ada.log(prompt, output=output, notes=notes, promptVersion=1)
    for q, number in (
        ('q="black hole"', 1),
        ("q=black -hole", 1),
        ("q=black&in=output", 2),
        ("q=black&in=notes", 1),
        ("q=earth", 2),
    ):
        for of_prompt in ("", f"&promptId={prompt['_id']}"):
            assert len(ada.get(f"/logs?{q}{of_prompt}").json) == number
            assert counts_of(ada, f"/stats?{q}{of_prompt}&groupBy=prompt", "prompt") == [(prompt["_id"], number)]
        assert counts_of(ada, f"/stats?{q}{of_prompt}&groupBy=version", "version") == [(1, number)]
    for q in ("%25", "*", "%22", "-black"):
        listed, counted = ada.get(f"/logs?q={q}"), ada.get(f"/stats?q={q}")
        assert (counted.status_code, counted.json["details"]) == (400, listed.json["details"])
    unknown = f"promptId={prompt['_id']}&label=unknown"
    assert ada.get(f"/stats?{unknown}").json["code"] == ada.get(f"/logs?{unknown}").json["code"] == "version_not_found"


def test_scores_whose_mean_is_not_finite_are_left_out(ada: Person) -> None:
    prompt = ada.prompt()
    huge, partly = ada.log(prompt), ada.log(prompt)
    for log, values in ((huge, (1.7e308, 1.6e308)), (partly, (-1.7e308, 4))):
        for index, value in enumerate(values):
            score(ada, log, value, name="size", annotator="judge", identifier=str(index))
    (group,) = groups_of(ada, "/stats?score=size&annotator=judge")
    assert (group["score"]["count"], group["score"]["mean"], group["ratings"]) == (1, 4, 1)


def test_a_deletion_that_comes_meanwhile_is_in_the_whole_answer_or_in_no_part_of_it(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = ada.prompt(slug="p")
    ada.log(prompt)
    generations = [{"id": str(number), "type": "generation", "prompt": {"slug": "p"}} for number in range(2)]
    path = f"/prompts/{prompt['_id']}/stats"

    def count_logs() -> int:
        return sum(group["count"] for group in groups_of(ada, path))

    def count_with_deletion(name: str, is_before: bool) -> int:
        """Return how many logs are counted if a trace with two of them is deleted around a call of this function."""
        trace = ada.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": generations}).json["trace"]["id"]
        assert count_logs() == 3
        called = getattr(store, name)

        def delete() -> None:
            with app.app_context(), monkeypatch.context() as patched:
                patched.setattr(cascade, "remove_some", lambda *_: False)  # all is left to a purge
                assert ada.delete(f"/traces/{trace}").status_code == 204

        def call(*args: Any) -> Any:
            monkeypatch.setattr(store, name, called)
            if is_before:
                delete()
            result = called(*args)
            if not is_before:
                delete()
            return result

        monkeypatch.setattr(store, name, call)
        with app.app_context(), purge.only_purge():
            counted = count_logs()
            assert count_logs() == 1
        with app.app_context():
            purge.run()
        return counted

    assert count_with_deletion("read_snapshot", is_before=True) == 1
    assert count_with_deletion("has_pending", is_before=False) == 3  # as it was when the snapshot was made
