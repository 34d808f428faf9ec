"""Statistics of a prompt's logs: every number against Python's own computation, on both databases."""

import csv
import io
import random
import re
import statistics
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from flask import Flask

from config import Config
from promptcrafter.database.session import get_engine
from promptcrafter.statistics.intervals import student_t_interval
from tests.support.databases import only_sqlite, vacuum
from tests.support.people import Person
from tests.support.statements import statements

KEYS = {"model": "modelUsed", "version": "promptVersion"}
GROUPINGS = {"": ["model"], "model": ["model"], "version": ["version"], "version,model": ["model", "version"]}
LEAST, MOST = 1e-100, 1e100  # smaller scores count as 0, larger sums as unknown


def stats_of(person: Person, prompt: dict[str, Any], query: str = "") -> dict[str, Any]:
    answer = person.get(f"/prompts/{prompt['_id']}/stats{query}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def latency_of(log: dict[str, Any]) -> float | None:
    if "latencyMs" in log:
        return float(log["latencyMs"])
    if "startTime" in log and "endTime" in log and log["endTime"] >= log["startTime"]:
        start, end = (datetime.fromisoformat(log[name]) for name in ("startTime", "endTime"))
        return (end - start).total_seconds() * 1000
    return None


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[percent // 5 - 1] if values[1:] else values[0]


def known(logs: list[dict[str, Any]], name: str) -> list[float]:
    return [log[name] for log in logs if log.get(name) is not None]


def expect_sum(logs: list[dict[str, Any]], name: str) -> dict[str, Any]:
    values = [value for value in known(logs, name) if value <= MOST]
    mean = statistics.fmean(values) if values else None
    return {"count": len(values), "total": sum(values) if values else None, "mean": mean}


def expect_group(logs: list[dict[str, Any]], keys: list[str]) -> dict[str, Any]:
    """Work out a group, given its logs from the oldest to the newest."""
    scored = [
        {**log, "score": log["score"] if log["score"] >= LEAST else 0} for log in logs if log["score"] is not None
    ]
    scores = known(scored, "score")
    latencies = [latency for log in logs if (latency := latency_of(log)) is not None]
    spread = statistics.stdev(scores) if scores[1:] else None
    mean = statistics.fmean(scores) if scores else None
    return {
        **{key: logs[0][KEYS[key]] for key in keys},
        "count": len(logs),
        "score": {
            "count": len(scores),
            "mean": mean,
            "median": statistics.median(scores) if scores else None,
            "min": min(scores, default=None),
            "max": max(scores, default=None),
            "stddev": spread,
            "interval95": expect_interval(mean, spread, len(scores)),
        },
        "latencyMs": {
            "count": len(latencies),
            "p50": percentile(latencies, 50) if latencies else None,
            "p95": percentile(latencies, 95) if latencies else None,
        },
        "cost": expect_sum(logs, "cost"),
        "tokens": {"input": expect_sum(logs, "inputTokens"), "output": expect_sum(logs, "outputTokens")},
        "bestLogId": max(reversed(scored), key=lambda log: log["score"])["_id"] if scored else None,
        "worstLogId": min(reversed(scored), key=lambda log: log["score"])["_id"] if scored else None,
        "failed": 0,
        "ratings": len(scored),
    }


def expect_interval(mean: float | None, spread: float | None, count: int) -> list[float] | None:
    interval = None if mean is None else student_t_interval(mean, spread, count)
    return None if interval is None else [max(0, interval[0]), min(10, interval[1])]


def expect_groups(logs: list[dict[str, Any]], keys: list[str]) -> list[dict[str, Any]]:
    names = {tuple(log[KEYS[key]] for key in keys) for log in logs}
    return [
        expect_group([log for log in logs if tuple(log[KEYS[key]] for key in keys) == name], keys) for name in names
    ]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}.{number}")
    else:
        yield path, value


def assert_same(shown: list[dict[str, Any]], expected: list[dict[str, Any]], keys: list[str]) -> None:
    """Compare groups in any order; numbers may differ by a rounding."""
    by_name = [{tuple(group[key] for key in keys): group for group in groups} for groups in (shown, expected)]
    assert by_name[0].keys() == by_name[1].keys()
    assert len(shown) == len(expected)
    for name, group in by_name[1].items():
        actual, wanted = dict(leaves(by_name[0][name])), dict(leaves(group))
        assert actual.keys() == wanted.keys()
        for path, value in wanted.items():
            is_number = isinstance(value, int | float)
            assert actual[path] == (pytest.approx(value, rel=1e-9, abs=1e-12) if is_number else value), (name, path)


def random_log(chance: random.Random) -> dict[str, Any]:
    """Make a log out of anything that the API takes."""

    def some(*values: Any) -> Any:
        return chance.choice([None, *values])

    def whole(most: int) -> int:
        return chance.randint(0, most)

    start = chance.randint(1_700_000_000_000, 1_700_000_100_000)
    return {
        "modelUsed": chance.choice(["a", "b", "A", "a|b", 'ü "x"']),
        "output": "x",
        "promptVersion": chance.choice([1, 2, 2, 2]),
        "score": some(whole(20) / 2, whole(20) / 2, chance.random() * 10, 8.1, 10, 0, 1e-300, 5e-324),
        "latencyMs": some(whole(30), whole(3), chance.expovariate(0.001), 0, 1e300, 5e-324),
        "startTime": some(start, start, start),
        "endTime": some(start + whole(5000), start - whole(1000)),
        "inputTokens": some(whole(4000), 0, 1.5),
        "outputTokens": some(whole(4000), 1.7e308),
        "cost": some(chance.random() / 100, 0, 1e-320, 1.7e308, 1e99, 0.1),
    }


def batch(person: Person, prompt: dict[str, Any], logs: list[dict[str, Any]]) -> None:
    answer = person.post("/logs/batch", {"logs": [{**log, "promptId": prompt["_id"]} for log in logs]})
    assert {result["status"] for result in answer.json["results"]} == {201}, answer.text


@pytest.fixture
def config(config: Config) -> Config:
    """The settings of a server that counts no tokens, so that they are unknown where they were not sent."""
    return replace(config, token_counting=False)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "size"), [(1, 1), (2, 2), (3, 3), (6, 150)])
def test_every_number_equals_pythons_own_computation(ada: Person, seed: int, size: int) -> None:
    chance = random.Random(seed)
    prompt = ada.prompt(slug="p")
    ada.patch(f"/prompts/{prompt['_id']}", {"content": "another"})
    batch(ada, prompt, [random_log(chance) for _ in range(size)])
    batch(ada, ada.prompt(), [{**random_log(chance), "promptVersion": 1}])
    for name in ({}, {"modelName": "a"}):  # of an unknown version, and of an unknown model besides
        ada.post("/monitor/log", {"slug": "p", "tag": "nowhere", "output": "x", "metadata": name})
    batch(ada, prompt, [random_log(chance) for _ in range(size)])
    logs = ada.get(f"/logs?promptId={prompt['_id']}&sort=createdAt").json
    assert {log["modelUsed"] for log in logs} > {None}
    middle = logs[len(logs) // 2]["createdAt"]
    for grouping, keys in GROUPINGS.items():
        query = f"?groupBy={grouping}" if grouping else ""
        shown = stats_of(ada, prompt, query)
        assert (shown["promptId"], shown["groupBy"]) == (prompt["_id"], keys)
        assert_same(shown["groups"], expect_groups(logs, keys), keys)
    for bound, holds in (("since", middle.__le__), ("until", middle.__gt__)):
        chosen = [log for log in logs if holds(log["createdAt"])]
        shown = stats_of(ada, prompt, f"?{bound}={middle}")
        assert_same(shown["groups"], expect_groups(chosen, ["model"]), ["model"])


def test_a_prompt_without_logs_has_no_groups(ada: Person) -> None:
    prompt = ada.prompt()
    assert stats_of(ada, prompt, "?groupBy=model,version") == {
        **{"promptId": prompt["_id"], "groupBy": ["model", "version"], "groups": []},
        **{"score": "score", "annotator": "human", "kind": "number", "comparisons": []},
    }
    ada.log(prompt)
    assert stats_of(ada, prompt, "?since=2999-01-01")["groups"] == []


def test_statistics_have_the_documented_shape(ada: Person) -> None:
    prompt = ada.prompt()
    worst = ada.log(prompt, modelUsed="a", score=6, latencyMs=100, cost=0.25, inputTokens=10, outputTokens=3)
    ada.log(prompt, modelUsed="a", score=9, startTime=1000, endTime=1000.3)
    best = ada.log(prompt, modelUsed="a", score=9)
    ada.log(prompt, modelUsed="b")
    unknown = {"count": 0, "total": None, "mean": None}
    shown = stats_of(ada, prompt)
    del shown["comparisons"]
    assert shown == {
        "promptId": prompt["_id"],
        "groupBy": ["model"],
        "score": "score",
        "annotator": "human",
        "kind": "number",
        "groups": [
            {
                "model": "a",
                "count": 3,
                "score": {
                    "count": 3,
                    "mean": 8,
                    "median": 9,
                    "min": 6,
                    "max": 9,
                    "stddev": pytest.approx(3**0.5),
                    "interval95": [pytest.approx(8 - 4.302653), 10],
                },
                "latencyMs": {"count": 2, "p50": 200, "p95": 290},
                "cost": {"count": 1, "total": 0.25, "mean": 0.25},
                "tokens": {
                    "input": {"count": 1, "total": 10, "mean": 10},
                    "output": {"count": 1, "total": 3, "mean": 3},
                },
                "bestLogId": best["_id"],
                "worstLogId": worst["_id"],
                "failed": 0,
                "ratings": 3,
            },
            {
                "model": "b",
                "count": 1,
                "score": dict.fromkeys(("mean", "median", "min", "max", "stddev", "interval95")) | {"count": 0},
                "latencyMs": {"count": 0, "p50": None, "p95": None},
                "cost": unknown,
                "tokens": {"input": unknown, "output": unknown},
                "bestLogId": None,
                "worstLogId": None,
                "failed": 0,
                "ratings": 0,
            },
        ],
    }


def test_equal_scores_have_a_deviation_of_zero_and_no_interval(ada: Person) -> None:
    prompt = ada.prompt()
    batch(ada, prompt, [{"modelUsed": "a", "output": "x", "score": 8.1}] * 7)
    ada.log(prompt, modelUsed="b", score=8.1)
    scores = {group["model"]: group["score"] for group in stats_of(ada, prompt)["groups"]}
    same = {"mean": 8.1, "median": 8.1, "min": 8.1, "max": 8.1, "interval95": None}
    assert scores == {"a": {"count": 7, "stddev": 0, **same}, "b": {"count": 1, "stddev": None, **same}}


def test_percentiles_are_equal_to_the_last_digit_on_both_databases(ada: Person) -> None:
    prompt = ada.prompt()
    batch(ada, prompt, [{"modelUsed": "a", "output": "x", "latencyMs": latency} for latency in (0, 1, 0, 0)])
    (group,) = stats_of(ada, prompt)["groups"]
    # 0.95 of the way through four values, in floats: one database would otherwise say 0.85
    assert group["latencyMs"] == {"count": 4, "p50": 0, "p95": 0.95 * 3 - 2}


def test_changed_and_deleted_logs_are_reflected_at_once(ada: Person) -> None:
    prompt = ada.prompt()
    logs = [ada.log(prompt, score=score) for score in (1, 2, 3)]
    ada.patch(f"/logs/{logs[0]['_id']}", {"score": 9})
    ada.patch(f"/logs/{logs[1]['_id']}", {"score": None})
    ada.delete(f"/logs/{logs[2]['_id']}")
    (group,) = stats_of(ada, prompt)["groups"]
    assert (group["count"], group["score"]["count"], group["score"]["mean"]) == (2, 1, 9)
    assert group["bestLogId"] == group["worstLogId"] == logs[0]["_id"]


def test_groups_are_sorted_by_mean_score_then_size_then_name(ada: Person) -> None:
    prompt = ada.prompt()
    scores: dict[str, list[float | None]] = {
        "few": [5],
        "many": [4, 6],
        "best": [5.5],
        "also few": [5],
        "none": [None, None],
        "no": [None],
    }
    batch(
        ada, prompt, [{"modelUsed": m, "output": "x", "score": score} for m, some in scores.items() for score in some]
    )
    models = [group["model"] for group in stats_of(ada, prompt)["groups"]]
    assert models == ["best", "many", "also few", "few", "none", "no"]


def test_statistics_of_unknown_or_foreign_prompts_are_refused(ada: Person, ben: Person) -> None:
    path = f"/prompts/{ada.prompt()['_id']}/stats"
    assert ben.get(path).status_code == 403
    assert ben.get("/prompts/prompt_1/stats").json["code"] == "prompt_not_found"
    assert ben.get("/prompts/1/stats").json["code"] == "invalid_prompt_id"
    for grouping, rule in {
        "model,model": "must not have model twice",
        "day,month": "must have one of day, week, month only",
        "metadata.": "must be one or two of prompt, model, version, label, author, day, week, month and "
        "metadata.<key>, with a comma between them",
    }.items():
        assert ben.get(f"{path}?groupBy={grouping}").json["details"] == {"groupBy": [rule]}
    assert list(ben.get(f"{path}?since=x&until=").json["details"]) == ["since", "until"]


def table(text: str) -> list[list[str]]:
    """Read a Markdown table, its line of dashes left out."""
    rows = [[cell.strip() for cell in line.strip("|").split(" |")] for line in text.splitlines()]
    assert set(rows.pop(1)) == {"---"}
    return rows


def test_statistics_are_returned_as_csv_or_markdown_on_request(ada: Person) -> None:
    prompt = ada.prompt()
    for score in (7, 8, 8):
        ada.log(prompt, modelUsed="=a|b\nc_d", score=score)
    ada.log(prompt, modelUsed="b")
    group, _ = stats_of(ada, prompt, "?groupBy=model,version")["groups"]
    path = f"/prompts/{prompt['_id']}/stats?groupBy=model,version"
    answer = ada.get(path, headers={"Accept": "text/csv"})
    assert (answer.headers["Content-Type"], answer.headers["Vary"]) == ("text/csv; charset=utf-8", "Accept")
    first, second = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert (first["model"], first["version"], first["count"]) == ("'=a|b\nc_d", "1", "3")
    assert float(first["score.mean"]) == group["score"]["mean"]
    assert [float(end) for end in first["score.interval95"].strip("[]").split(",")] == group["score"]["interval95"]
    assert (second["score.mean"], second["score.count"], second["tokens.input.total"]) == ("", "0", "")
    assert (first["bestLogId"], second["bestLogId"]) == (group["bestLogId"], "")
    answer = ada.get(path, headers={"Accept": "text/markdown"})
    assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
    header, *rows = table(answer.text)
    assert header == list(first)
    shown = dict(zip(header, rows[0], strict=True))
    assert (shown["model"], shown["score.mean"]) == (r"=a\|b<br>c_d", "7.66667")
    assert shown["score.interval95"] == "6.23245, 9.10088"
    assert len(rows) == 2


@only_sqlite
@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("application/x-ndjson", "application/json"),
        ("text/markdown, text/csv;q=0.5", "text/markdown"),
    ],
)
def test_statistics_have_the_most_preferred_accepted_format(ada: Person, accept: str, mimetype: str) -> None:
    answer = ada.get(f"/prompts/{ada.prompt()['_id']}/stats", headers={"Accept": accept})
    assert answer.mimetype == mimetype


def test_statistics_never_read_the_rows_of_the_logs(ada: Person, engine_name: str) -> None:
    app: Flask = ada.client.application
    prompt = ada.prompt()
    batch(ada, prompt, [{"modelUsed": "m", "output": "x" * 1000, "score": number % 11} for number in range(1000)])
    if engine_name == "postgresql":  # reads the index alone only for rows that have been vacuumed
        with app.app_context():
            vacuum(get_engine(), "logs", "scores")
    explain, by, index_alone = {
        "sqlite": (
            "EXPLAIN QUERY PLAN",
            "SEARCH logs USING COVERING INDEX ix_logs_aggregates (prompt_id=?",
            "COVERING",
        ),
        "postgresql": ("EXPLAIN", "Index Only Scan using ix_logs_aggregates", "Index Only Scan"),
    }[engine_name]
    for query in ("", "?groupBy=version", "?groupBy=model,version&since=2024-01-01"):
        with statements(app) as seen:
            stats_of(ada, prompt, query)
        figures = [pair for pair in seen if "logs.input_tokens" in pair[0]]
        raters = [pair for pair in seen if "JOIN scores" in pair[0]]
        with app.app_context(), get_engine().connect() as connection:
            if engine_name == "postgresql":  # all that there is may be read as quickly without an index
                for way in ("seqscan", "bitmapscan"):
                    connection.exec_driver_sql(f"SET enable_{way} = off")
            for statement, parameters in [*figures, *raters]:
                plan = [str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {statement}", parameters)]
                reads = [step for step in plan if re.search("SEARCH|SCAN|Scan", step)]
                assert all(index_alone in step for step in reads), "\n".join(plan)
                assert (statement, parameters) in raters or by in plan[0]
        assert len(figures) == len(raters) == 1
