"""The filters of the list of logs by what a log is of, by its scores, its metadata and how its call ended."""

import json
from collections.abc import Callable
from itertools import combinations, product
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import literal, select

from promptcrafter.database import deadline
from promptcrafter.database.json_scalar import JsonScalar, read_scalar, scalars_equal_to
from promptcrafter.database.session import get_engine
from promptcrafter.jsonio import dumps
from promptcrafter.logs import queries
from tests.logs.test_views_list import pages
from tests.support.databases import only_sqlite
from tests.support.otlp import export, make_span
from tests.support.people import Person
from tests.support.statements import statements

Log = dict[str, Any]
Holds = Callable[[Log], bool]


def meta(log: Log) -> dict[str, Any]:
    return dict(log.get("metadata", {}))


FILTERS: list[tuple[str, Holds]] = [
    ("scored=true", lambda log: log["score"] is not None),
    ("scored=false", lambda log: log["score"] is None),
    ("hasNotes=true", lambda log: bool(log["notes"])),
    ("hasNotes=false", lambda log: not log["notes"]),
    ("tag=a", lambda log: log["prompt"] in (0, 1)),
    ("tag=a&tag=b%2Fc&tag=a", lambda log: log["prompt"] == 1),
    ("label=production", lambda log: (log["prompt"], log["promptVersion"]) in ((0, 1), (1, 2))),
    ("label=unknown", lambda log: False),
    ("startedSince=2024-06-20T12:00:00Z", lambda log: log.get("startTime", "") >= "2024-06-20T12:00:00.000Z"),
    ("startedUntil=2024-06-20T12:00:00Z", lambda log: "0" < log.get("startTime", "0") < "2024-06-20T12:00:00.000Z"),
    ("status=error", lambda log: "status" in log),
    ("status=ok", lambda log: "status" not in log),
    ("userId=u%201", lambda log: log.get("userId") == "u 1"),
    ("sessionId=s", lambda log: log.get("sessionId") == "s"),
    ("environment=production", lambda log: log.get("environment") == "production"),
    ("model=gpt-4o", lambda log: log["modelUsed"] == "gpt-4o"),
    ("model=gpt-4o*", lambda log: log["modelUsed"].startswith("gpt-4o")),
    ("model=%25_*", lambda log: log["modelUsed"].startswith("%_")),
    ("model=GPT*", lambda log: log["modelUsed"].startswith("GPT")),
    ("metadata.t=1", lambda log: meta(log).get("t") in (1, "1") and meta(log).get("t") is not True),
    ("metadata.t=true", lambda log: meta(log).get("t") in ("true",) or meta(log).get("t") is True),
    ("metadata.t=null", lambda log: "t" in meta(log) and meta(log)["t"] in (None, "null")),
    ("metadata.a.b%22%5C%C3%A9=x", lambda log: meta(log).get('a.b"\\é') == "x"),
    ("metadata.t=1&metadata.user=ada", lambda log: meta(log).get("t") in (1, "1") and meta(log).get("user") == "ada"),
    ("scoreName=tone", lambda log: bool(log["tones"])),
    ("scoreName=tone&scored=false", lambda log: not log["tones"]),
    ("scoreName=tone&minScore=-2&maxScore=50", lambda log: any(-2 <= tone <= 50 for tone in log["tones"])),
    ("scoreName=tone&minScore=51&scored=true", lambda log: any(tone >= 51 for tone in log["tones"])),
]


@pytest.fixture
def history(ada: Person, ben: Person) -> list[Log]:
    """Logs of three prompts, newest first, with what the filters ask for of each; Ben has others."""
    prompts = [ada.prompt(), ada.prompt(tags=["a", "b/c"]), ada.prompt(tags=["b/c"])]
    ada.patch(f"/prompts/{prompts[0]['_id']}", {"tags": ["a"], "content": "two"})
    ada.patch(f"/prompts/{prompts[1]['_id']}", {"content": "two"})
    for prompt, number in zip(prompts, (1, 2), strict=False):
        assert ada.put(f"/prompts/{prompt['_id']}/labels/production", {"version": number}).status_code in (200, 201)
    ada.put(f"/prompts/{prompts[0]['_id']}/labels/other", {"version": 2})
    ben.log(ben.prompt(tags=["a"]), score=5, notes="n", userId="u 1", metadata={"t": 1})
    metadata = [{"t": 1}, {"t": "1", "user": "ada"}, {"t": True}, {"t": "true"}, {"t": None}, {"t": "null"}, {}]
    metadata += [{'a.b"\\é': "x"}, {"a": {"t": 1}}, {"t": [1]}, {"t": {"t": 1}}, {"x": '"t":1', "t": 2}, {"t": 1.0}]
    times = ["2024-06-20T11:59:59.999Z", "2024-06-20T12:00:00Z", None]
    models = ["gpt-4o", "gpt-4o-2024-08-06", "GPT-4o", "%_x", "gpt-4"]
    found = []
    for number in range(26):
        values: dict[str, Any] = {
            "promptVersion": 1 + number % 2 if number % 3 < 2 else 1,
            "score": [None, 0, 7.5, None, 10][number % 5],
            "notes": [None, "n", ""][number % 3],
            "metadata": metadata[number % len(metadata)],
            "startTime": times[number % 3],
            "modelUsed": models[number % 5],
            "userId": ["u 1", "U 1", None][number % 3],
            "sessionId": [None, "s"][number % 2],
            "environment": ["production", None, "test", None][number % 4],
            **([{}, {"status": "error", "output": None}][number % 7 == 0]),
        }
        log = ada.log(prompts[number % 3], **values)
        tones = [[], [-2], [50, 3], [100]][number % 4]
        for place, tone in enumerate(tones):
            body = {"name": "tone", "value": tone, "annotator": "judge", "identifier": str(place)}
            assert ada.post(f"/logs/{log['_id']}/scores", body).status_code == 201
        found.append({"log": log, **log, "prompt": number % 3, "tones": tones})
    return found[::-1]


def test_each_filter_alone_and_with_another_holds_for_the_list_and_for_pages(ada: Person, history: list[Log]) -> None:
    others = [FILTERS[place] for place in (1, 2, 10, 19)]
    for number, chosen in enumerate((*combinations(FILTERS, 1), *product(FILTERS, others))):
        query = "&".join(text for text, _ in chosen)
        names = {pair.partition("=")[0] for text, _ in chosen for pair in text.split("&")}
        if sum(len({pair.partition("=")[0] for pair in text.split("&")}) for text, _ in chosen) > len(names):
            continue  # a filter twice
        if {"scoreName", "scored"} <= names and len(chosen) == 2:
            continue  # means another thing together
        expected = [each["log"] for each in history if all(holds(each) for _, holds in chosen)]
        answer = ada.get(f"/logs?{query}")
        assert (answer.status_code, answer.json) == (200, expected), query
        if len(chosen) == 1 or number % 9 == 0:
            assert pages(ada, f"/logs?{query}&per_page=9") == expected, query
            by_prompt = [log for log in expected if log["promptId"] == history[0]["promptId"]]
            if "label" not in names:
                assert ada.get(f"/logs?promptId={history[0]['promptId']}&{query}").json == by_prompt, query


def test_a_label_of_a_prompt_keeps_its_version_from_page_to_page(ada: Person, history: list[Log]) -> None:
    prompt_id = next(log["promptId"] for log in history if log["prompt"] == 1)
    path = f"/logs?promptId={prompt_id}&label=production&per_page=2"
    first = ada.get(path)
    ada.put(f"/prompts/{prompt_id}/labels/production", {"version": 1})
    link = first.headers["Link"].split("localhost")[1].split(">")[0]
    assert {log["promptVersion"] for log in first.json + ada.get(link).json} == {2}
    assert {log["promptVersion"] for log in ada.get(path).json} == {1}
    missing = ada.get(f"/logs?promptId={prompt_id}&label=unknown")
    assert (missing.status_code, missing.json["code"]) == (404, "version_not_found")


def test_the_worst_and_the_best_come_first_and_unscored_ones_last(ada: Person, history: list[Log]) -> None:
    oldest = history[::-1]
    places = {log["_id"]: place for place, log in enumerate(oldest)}
    scored, unscored = ([log for log in oldest if (log["score"] is None) is is_not] for is_not in (False, True))
    worst = [each["log"] for each in [*sorted(scored, key=lambda log: (log["score"], places[log["_id"]])), *unscored]]
    best = [*sorted((each["log"] for each in scored), key=lambda log: (log["score"], places[log["_id"]]), reverse=True)]
    best += [each["log"] for each in unscored[::-1]]
    for sort, expected in (("worst", worst), ("best", best)):
        for scope in ("", f"promptId={history[0]['promptId']}&", "scored=false&", "q=output&"):
            of_scope = [
                log
                for log in expected
                if ("promptId" not in scope or log["promptId"] == history[0]["promptId"])
                and ("scored" not in scope or (log["score"] is not None) is ("true" in scope))
                and ("q=" not in scope or log["output"])
            ]
            path = f"/logs?{scope}sort={sort}"
            assert ada.get(path).json == of_scope, path
            for size in (4, 100):
                assert pages(ada, f"{path}&per_page={size}") == of_scope, (path, size)
    lines = ada.get("/logs?sort=worst", headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line) for line in lines.text.splitlines()] == worst
    for cursor in ("0-0-0", f"{'9' * 19}-{'9' * 14}-{'9' * 18}", "4621819117588971521-1-1"):
        assert ada.get(f"/logs?sort=worst&cursor={cursor}").status_code == 200


@only_sqlite
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("scored=yes", "scored must be true or false."),
        ("hasNotes=", "hasNotes must be true or false."),
        ("label=latest", "label must match [A-Za-z][A-Za-z0-9._-]{0,63} and not be latest."),
        (
            "label=a&promptVersion=1&promptId=p",
            "label must not be given beside promptVersion, which takes a label, too.",
        ),
        ("minScore=11", "minScore must be a number from 0 to 10."),
        ("minScore=-1", "minScore must be a number from 0 to 10."),
        ("minScore=1&scored=false", "scored must not be false beside minScore or maxScore."),
        ("scoreName=x&maxScore=100&scored=false", "scored must not be false beside minScore or maxScore."),
        ("scoreName=", "scoreName must have 1 to 64 characters."),
        ("status=failed", "status must be one of ok, error."),
        ("userId=", "userId must have 1 to 256 characters."),
        (
            "startedSince=soon",
            "startedSince must be an ISO 8601 time, a Unix time or a time ago such as 7d, 24h, 2w or 30m.",
        ),
        ("sort=worst&cursor=1-1", "cursor is not one that this list gave."),
        ("sort=best&cursor=1-1", "cursor is not one that this list gave."),
        ("metadata=1", "metadata is not a parameter of this call; the nearest is metadata.…."),
        ("metadata.=1", "metadata. is not a parameter of this call; the nearest is metadata.…."),
        ("metdata.x=1", "metdata.x is not a parameter of this call; the nearest is metadata.…."),
        ("in=notes", "in needs q beside it."),
        ("in=title&q=x", "in must be one or more of output, notes, input, separated by commas."),
        ("in=&q=x", "in must be one or more of output, notes, input, separated by commas."),
        ("in=input&q=x", "in may have input only on a server with the setting INDEX_INPUT=on."),
        ("in=notes&q=x&hasNotes=false", "hasNotes must not be false beside in=notes."),
        ("q=-x", "q must have a word that the logs contain, beside what is excluded."),
        ("q=%22%22", "q must have 1 to 32 words, which are letters, digits or symbols."),
        ("&".join(f"metadata.k{n}=1" for n in range(6)), "metadata may be given at most 5 times."),
        (f"metadata.k={'v' * 501}", "metadata.k must have at most 500 characters."),
        ("metadata.k=%00", "metadata.k must not contain the NUL character (U+0000)."),
        ("userId=a&userId=b", "userId must be given once."),
        ("state=error", "state is not a parameter of this call; the nearest is status."),
    ],
)
def test_a_bad_filter_is_named_with_its_rule(ada: Person, query: str, message: str) -> None:
    answer = ada.get(f"/logs?{query}")
    assert (answer.status_code, answer.json["message"]) == (400, message)


SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
    | st.sampled_from(
        ["1", "1.0", "true", "null", '"', "\\", "{}", "[1]", '"a"', "é", "🌍", 1e22, 10**22, 0.1, -0.0, 2**53]
    )
)
KEYS = st.sampled_from(["k", "a.b", '"', "\\", "é", "$", "0", "k.k", "[0]"])


def test_both_databases_read_a_member_of_an_object_alike(app: Flask) -> None:
    with app.app_context(), get_engine().connect() as connection:

        @settings(max_examples=150)
        @given(st.dictionaries(KEYS, SCALARS | st.just([1]) | st.just({"k": 1}), max_size=4), KEYS)
        def read(values: dict[str, Any], name: str) -> None:
            stored = dumps(values)
            found = connection.scalar(select(JsonScalar(literal(stored), literal(name))))
            assert found == read_scalar(stored, name)
            if found is not None:
                text = found[1:] if isinstance(values[name], str) else found
                assert found in scalars_equal_to(text)
                if isinstance(values[name], str):
                    assert found in scalars_equal_to(dumps(text))

        read()


def test_numbers_are_equal_however_they_are_written(ada: Person) -> None:
    prompt = ada.prompt()
    numbers = {
        "one": 1,
        "one as a float": 1.0,
        "text": "1",
        "big": 10**20 + 1,
        "near": 10**20,
        "e": 1e22,
        "third": 1 / 3,
    }
    for name, value in numbers.items():
        ada.log(prompt, notes=name, metadata={"n": value})

    def found(text: str) -> set[str]:
        return {log["notes"] for log in ada.get(f"/logs?{urlencode({'metadata.n': text})}").json}

    assert found("1") == {"one", "one as a float", "text"}
    assert found("1.0") == found("1e0") == found("100e-2") == {"one", "one as a float"}
    assert found('"1"') == {"text"}
    assert found("100000000000000000001") == {"big"}
    assert found("100000000000000000000") == {"near"}
    assert found("1e22") == found("10000000000000000000000") == {"e"}
    assert found("0.3333333333333333") == {"third"}
    for text in ("NaN", "Infinity", "1e999", "9" * 400, "[" * 400, "-", "01", "{}", ""):
        assert found(text) == set()


def test_the_logs_of_a_trace_are_found_by_its_id(ada: Person, ben: Person, history: list[Log]) -> None:
    for person in (ada, ben):
        for trace_id in ("a" * 32, "b" * 32):
            spans = [
                make_span({"gen_ai.operation.name": "chat"}, trace_id=trace_id, status=status)
                for status in (0, 0, 0, 2)
            ]
            assert export(person, *spans).status_code == 200
    trace, other = (each["_id"] for each in ada.get("/traces").json)
    found = ada.get(f"/logs?traceId={trace}").json
    assert [log["traceId"] for log in found] == [trace] * 4
    assert ada.get(f"/logs?traceId={trace}&status=error").json == [log for log in found if "status" in log]
    assert pages(ada, f"/logs?traceId={trace}&per_page=3") == found
    assert [log["_id"] for log in ada.get(f"/logs?traceId={other}&sort=createdAt").json][::-1] == [
        log["_id"] for log in ada.get(f"/logs?traceId={other}").json
    ]
    (of_ben, _) = (each["_id"] for each in ben.get("/traces").json)
    for none in (of_ben, "trace_x"):
        assert ada.get(f"/logs?traceId={none}").json == []
    assert ada.get(f"/logs?traceId={trace}&promptId={history[0]['promptId']}").json == []
    for refused in ("", "x%00", "null", "a" * 32, history[0]["_id"]):
        answer = ada.get(f"/logs?traceId={refused}")
        assert (answer.status_code, list(answer.json["details"])) == (400, ["traceId"])
    groups = ada.get(f"/stats?groupBy=model&traceId={trace}").json["groups"]
    assert sum(group["count"] for group in groups) == 3, "failed calls are counted apart"


@only_sqlite
def test_the_logs_of_a_trace_are_read_by_its_index(app: Flask, ada: Person, history: list[Log]) -> None:
    for query in ("", f"promptId={history[0]['promptId']}&", "userId=u&", "since=7d&"):
        (plan,) = plans(app, ada, f"/logs?{query}traceId=trace_x&per_page=2&cursor=99999999999999-9")
        assert "USING INDEX ix_logs_trace_id_seq (trace_id=?)" in plan[0], plan


@only_sqlite
def test_every_filter_with_an_index_is_a_range_of_it(
    app: Flask, ada: Person, history: list[Log], subtests: pytest.Subtests
) -> None:
    indexed = [
        ("status=error", "status"),
        ("userId=u", "user_id"),
        ("sessionId=s", "session_id"),
        ("environment=e", "environment"),
        ("hasNotes=true", "notes"),
        (f"promptId={history[0]['promptId']}&status=error", "status"),
        (f"promptId={history[0]['promptId']}&hasNotes=true", "notes"),
    ]
    for query, name in indexed:
        with subtests.test(query=query):
            (plan,) = plans(app, ada, f"/logs?{query}&per_page=2&cursor=99999999999999-9")
            assert f"_{name}" in plan[0], plan
            assert "<" in plan[0], f"not a range: {plan}"
            assert not [step for step in plan if "TEMP B-TREE" in step], plan
    for sort in ("best", "worst"):
        for scope in ("", f"promptId={history[0]['promptId']}&"):
            for cursor in ("5-99999999999999-9", "0-99999999999999-9"):
                with subtests.test(sort=sort, scope=scope, cursor=cursor):
                    (plan,) = plans(app, ada, f"/logs?{scope}sort={sort}&per_page=2&cursor={cursor}")
                    of_logs = [step for step in plan if " logs " in step]
                    assert all("SEARCH logs USING" in step for step in of_logs), plan
                    assert not [step for step in plan if "SCAN logs" in step], plan
    of_prompt = f"promptId={history[0]['promptId']}&"
    for scope, (query, _) in product(("", of_prompt), FILTERS):
        if "label" not in query or not scope:
            with subtests.test(query=query, scope=scope):
                (plan,) = plans(app, ada, f"/logs?{scope}{query}&per_page=2&cursor=99999999999999-9")
                assert not [
                    step for step in plan if "TEMP B-TREE" in step or ("SCAN" in step and "deletions" not in step)
                ], plan


@only_sqlite
def test_a_page_for_which_too_many_logs_are_read_is_refused(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = ada.prompt()
    for _ in range(2):
        log = {"promptId": prompt["_id"], "output": "x", "modelUsed": "m"}
        assert ada.post("/logs/batch", {"logs": [log] * 1000}).status_code == 200
    monkeypatch.setattr(queries, "PAGE_S", -1)
    walk = "/logs?metadata.nothing=1&scoreName=x&tag=none&per_page=1"
    monkeypatch.setattr(deadline, "_EVERY", 1000)
    answer = ada.get(walk)
    assert (answer.status_code, answer.json["code"]) == (400, "too_many_logs")
    assert ada.get(walk.removesuffix("&per_page=1")).json == [], "a whole list is read anyway"
    monkeypatch.setattr(queries, "PAGE_S", 60)
    assert ada.get(walk).json == []
    assert len(ada.get("/logs?per_page=5").json) == 5


@pytest.mark.parametrize("sort", ["best", "worst", "score", "-score"])
def test_filters_of_scores_select_the_same_logs_in_every_order(ada: Person, history: list[Log], sort: str) -> None:
    whole = [log["_id"] for log in ada.get(f"/logs?sort={sort}").json]
    for query in ("scored=true", "scored=false", "minScore=5", "maxScore=5", "minScore=3&maxScore=7", "minScore=0"):
        for more in ("", f"&promptId={history[0]['promptId']}", "&scoreName=tone"):
            matching = {log["_id"] for log in ada.get(f"/logs?{query}{more}").json}
            expected = [log_id for log_id in whole if log_id in matching]
            path = f"/logs?{query}{more}&sort={sort}"
            assert [log["_id"] for log in ada.get(path).json] == expected, path
            assert [log["_id"] for log in pages(ada, f"{path}&per_page=3")] == expected, path


@only_sqlite
def test_filters_of_scores_are_ends_of_the_range_that_an_order_by_score_reads(
    app: Flask, ada: Person, history: list[Log], subtests: pytest.Subtests
) -> None:
    after = "(rank,created_at)"  # and the row id, which is `seq`
    for sort, query, first, next_page in (
        ("best", "minScore=3", "rank>?", f"rank>? AND {after}<(?,?)"),
        ("best", "minScore=3&maxScore=8", "rank>? AND rank<?", f"rank>? AND {after}<(?,?)"),
        ("best", "scored=true", "rank>?", f"rank>? AND {after}<(?,?)"),
        ("-score", "scored=false", "rank<?", f"{after}<(?,?)"),
        ("score", "minScore=3", "rank>?", f"{after}>(?,?)"),
        ("score", "maxScore=8", "rank>? AND rank<?", f"{after}>(?,?) AND rank<?"),
        ("worst", "minScore=3&maxScore=8", "rank>? AND rank<?", f"{after}>(?,?) AND rank<?"),
        ("worst", "scored=true", "rank>?", f"{after}>(?,?)"),
        ("worst", "scored=false", "rank=?", None),
        ("worst", "", "rank>?", f"{after}>(?,?)"),
    ):
        for cursor, expected in (("", first), ("&cursor=4618441417868443649-99999999999999-9", next_page)):
            with subtests.test(sort=sort, query=query, cursor=cursor):
                (plan,) = plans(app, ada, f"/logs?{query}&sort={sort}&per_page=2{cursor}")
                read = [step for step in plan if "_rank_" in step]
                assert expected is None or read[0].endswith(f"(workspace_id=? AND {expected})"), plan
                assert len(read) == (2 if (sort, query) == ("worst", "") else 1), plan


def plans(app: Flask, person: Person, path: str) -> list[list[str]]:
    """Return the plans of SQLite for the statements of a call that list logs."""
    with statements(app) as seen:
        assert person.get(path).status_code == 200
    listed = [pair for pair in seen if "FROM logs" in pair[0] and "ORDER BY" in pair[0]]
    with app.app_context(), get_engine().connect() as connection:
        return [
            [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
            for statement, values in listed
        ]
