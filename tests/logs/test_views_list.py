"""The filters, orders and formats of the list of logs."""

import csv
import io
import itertools
import json
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from flask import Flask

from promptcrafter import clock
from promptcrafter.database.session import get_engine
from promptcrafter.http.formats import NDJSON_TYPES
from tests.support.databases import only_sqlite
from tests.support.people import Person
from tests.support.statements import statements

SCORES = [None, 0, 0.1, 7.25, 1e-9, 10, 9.999999999999998, None, 7.25]
MODELS = ["gpt-4o", "Claude 3 Sonnet"]
FILTERS: list[tuple[str, Any]] = [
    ("promptVersion=1", lambda log: log["promptVersion"] == 1),
    ("model=gpt-4o", lambda log: log["modelUsed"] == "gpt-4o"),
    ("minScore=0.1", lambda log: log["score"] is not None and log["score"] >= 0.1),
    ("maxScore=7.25", lambda log: log["score"] is not None and log["score"] <= 7.25),
    ("source=basalt", lambda log: log.get("source") == "basalt"),
    ("source=promptcrafter", lambda log: "source" not in log),
]


@pytest.fixture
def history(ada: Person, ben: Person) -> list[dict[str, Any]]:
    """A prompt's logs by two ways and of two versions, oldest first; there are others of Ada's and Ben's."""
    prompt = ada.prompt(slug="qa")
    ada.log(ada.prompt(), score=5)
    ben.log(ben.prompt(), score=5)
    for number, score in enumerate(SCORES):
        if number == 4:
            ada.patch(f"/prompts/{prompt['_id']}", {"content": "another"})
        ada.log(prompt, score=score, modelUsed=MODELS[number % 2])
    for _ in range(2):
        ada.post("/monitor/log", {"slug": "qa", "tag": "latest", "output": "x"})
    return list(ada.get(f"/logs?promptId={prompt['_id']}").json)[::-1]


def pages(person: Person, path: str) -> list[dict[str, Any]]:
    """Follow the links from page to page."""
    rows: list[dict[str, Any]] = []
    following: str | None = path
    while following:
        answer = person.get(following)
        assert answer.status_code == 200, answer.text
        rows += answer.json
        link = answer.headers.get("Link")
        following = link.split("localhost")[1].split(">")[0] if link else None
    return rows


@pytest.mark.parametrize("whose", ["promptId={}&", ""])
def test_every_order_applies_to_the_whole_list_and_to_pages(
    ada: Person, history: list[Any], whose: str, subtests: pytest.Subtests
) -> None:
    logs = history if whose else ada.get("/logs").json[::-1]
    places = {log["_id"]: place for place, log in enumerate(logs)}

    def score_then_place(log: dict[str, Any]) -> tuple[float, int]:
        return (-1 if log["score"] is None else log["score"], places[log["_id"]])

    for sort in ("-createdAt", "createdAt", "-score", "score"):
        expected = logs if sort.endswith("createdAt") else sorted(logs, key=score_then_place)
        expected = expected[::-1] if sort.startswith("-") else expected
        path = f"/logs?{whose.format(history[0]['promptId'])}sort={sort}"
        with subtests.test(sort=sort):
            assert ada.get(path).json == expected
            assert pages(ada, f"{path}&per_page=2") == expected


def test_filters_combine_for_the_whole_list_and_for_pages(
    ada: Person, history: list[Any], subtests: pytest.Subtests
) -> None:
    for chosen in (*itertools.combinations(FILTERS, 1), *itertools.combinations(FILTERS[:5], 2)):
        query = "&".join([f"promptId={history[0]['promptId']}", *(text for text, _ in chosen)])
        expected = [log for log in history[::-1] if all(holds(log) for _, holds in chosen)]
        with subtests.test(query=query):
            assert ada.get(f"/logs?{query}").json == expected
            assert pages(ada, f"/logs?{query}&per_page=2&sort=-createdAt") == expected


def test_since_is_inclusive_and_until_is_exclusive(ada: Person, history: list[Any]) -> None:
    moment = history[4]["createdAt"]
    path = f"/logs?promptId={history[0]['promptId']}"
    since, until = (ada.get(f"{path}&{name}={moment}").json for name in ("since", "until"))
    assert since == [log for log in history[::-1] if log["createdAt"] >= moment]
    assert until == [log for log in history[::-1] if log["createdAt"] < moment]
    milliseconds = clock.to_number(clock.from_text(moment))
    assert ada.get(f"{path}&since={milliseconds}").json == ada.get(f"{path}&since={milliseconds / 1000}").json == since
    assert ada.get("/logs?since=2999-01-01").json == ada.get("/logs?until=2000-01-01T00:00:00Z").json == []
    assert ada.get("/logs?since=253402300799999").json == []  # the last millisecond of 9999


def test_logs_of_a_version_are_listed_by_its_label(ada: Person, ben: Person) -> None:
    prompt = ada.prompt()
    path = f"/prompts/{prompt['_id']}"
    ada.patch(path, {"content": "two"})
    first, second = ([ada.log(prompt, promptVersion=number) for _ in range(3)][::-1] for number in (1, 2))

    def label(version: Any) -> None:
        answer = ada.open(f"{path}/labels/production", method="PUT", json={"version": version})
        assert answer.status_code == 200, answer.text

    def listed(version: str) -> Any:
        return ada.get(f"/logs?promptId={prompt['_id']}&promptVersion={version}")

    assert [listed(name).json for name in ("1", "2", "latest", "3")] == [first, second, second, []]
    label(1)
    assert listed("production").json == first
    page = ada.get(f"/logs?promptId={prompt['_id']}&promptVersion=production&per_page=2")
    label("latest")
    assert listed("production").json == second
    rest = ada.get(page.headers["Link"].split("localhost")[1].split(">")[0])
    assert page.json + rest.json == first, "a moved label does not mix the pages of two versions"
    for name in ("staging", "Production"):
        assert (listed(name).status_code, listed(name).json["code"]) == (404, "version_not_found")
    assert ben.get(f"/logs?promptId={prompt['_id']}&promptVersion=production").status_code == 403
    assert ada.get("/logs?promptVersion=production").json["message"] == "promptVersion needs promptId beside it."


def test_a_time_in_a_query_is_read_with_an_unescaped_plus(
    ada: Person, history: list[Any], subtests: pytest.Subtests
) -> None:
    prompt_id, moment = history[0]["promptId"], history[4]["createdAt"]
    east = (clock.from_text(moment) + timedelta(hours=2)).replace(tzinfo=None).isoformat(timespec="milliseconds")
    for since in (f"{east}+02:00", f"{east}+0200", f"{east}+02", f"{east}%2B02:00", f"{east} 02:00".replace("T", " ")):
        for form in (since, since.replace("T", "t"), since.replace(".", ","), since.replace(" ", "%20")):
            with subtests.test(since=form):
                path = f"/logs?promptId={prompt_id}&since={form}"
                assert ada.get(path).json == [log for log in history[::-1] if log["createdAt"] >= moment]
                assert pages(ada, f"{path}&per_page=2") == ada.get(path).json
                assert ada.get(f"/prompts/{prompt_id}/stats?since={form}").status_code == 200


def test_a_time_may_be_how_long_ago_it_was(ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = ada.prompt()
    now = clock.from_text("2026-03-10T12:00:00Z")
    ago = [timedelta(weeks=3), timedelta(days=8), timedelta(hours=25), timedelta(minutes=31), timedelta(0)]
    logs = []
    for each in ago:
        with monkeypatch.context() as patch:
            patch.setattr(clock, "now", lambda each=each: now - each)
            logs.append(ada.log(prompt))
    monkeypatch.setattr(clock, "now", lambda: now)
    newest = logs[::-1]
    for text, number in (("30m", 1), ("31m", 2), ("24h", 2), ("2d", 3), ("7d", 3), ("2w", 4), ("9999w", 5), ("0m", 1)):
        assert ada.get(f"/logs?since={text}").json == newest[:number]
        assert ada.get(f"/logs?until={text}").json == newest[number:]
        assert sum(group["count"] for group in ada.get(f"/prompts/{prompt['_id']}/stats?since={text}").json["groups"])
        assert ada.get(f"/scores?since={text}").json == []
    first = ada.get("/logs?since=2w&per_page=2&until=2999-01-01")
    link = first.headers["Link"]
    assert "since=2026-02-24T12%3A00%3A00.000Z" in link, "a page that is read later begins where it would have now"
    assert "until=2999-01-01&" in link
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(weeks=2))
    rest = ada.get(link.split("localhost")[1].split(">")[0])
    assert first.json + rest.json == newest[:4]
    for text in ("7", "7D", "7 d", "12345d", "-7d", "1.5h", "7days", "d", "7y", "1M", "７d"):
        answer = ada.get("/logs", query_string={"since": text})
        assert (answer.status_code == 400) is (text != "7"), text


@only_sqlite
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("promptVersion=1", "promptVersion needs promptId beside it."),
        (
            "promptVersion=0&promptId=prompt_1",
            "promptVersion must be a whole number from 1 to 2147483647, a label or latest.",
        ),
        (
            "promptVersion=-1&promptId=prompt_1",
            "promptVersion must be a whole number from 1 to 2147483647, a label or latest.",
        ),
        (
            "promptVersion=2147483648&promptId=prompt_1",
            "promptVersion must be a whole number from 1 to 2147483647, a label or latest.",
        ),
        (
            "promptVersion=é&promptId=prompt_1",
            "promptVersion must be a whole number from 1 to 2147483647, a label or latest.",
        ),
        ("model=", "model must not be empty."),
        ("minScore=11", "minScore must be a number from 0 to 10."),
        ("maxScore=1e1", "maxScore must be a number."),
        ("maxScore=NaN", "maxScore must be a number."),
        ("since=yesterday", "since must be an ISO 8601 time, a Unix time or a time ago such as 7d, 24h, 2w or 30m."),
        (
            "until=2024-06-20T13:10:00Z+02:00",
            "until must be an ISO 8601 time, a Unix time or a time ago such as 7d, 24h, 2w or 30m.",
        ),
        ("source=other", "source must be one of promptcrafter, basalt, agenttest, llm, promptfoo, otlp."),
        ("sort=rating", "sort must be one of -createdAt, createdAt, -score, score, best, worst."),
        ("sort=score&cursor=1-1", "cursor is not one that this list gave."),
        ("cursor=1-1-1", "cursor is not one that this list gave."),
        ("cursor=x", "cursor is not one that this list gave."),
    ],
)
def test_a_bad_filter_is_named(ada: Person, query: str, message: str) -> None:
    answer = ada.get(f"/logs?{query}")
    assert (answer.status_code, answer.json["message"]) == (400, message)


def test_every_well_formed_cursor_is_accepted(ada: Person, history: list[Any], subtests: pytest.Subtests) -> None:
    for cursor in ("0-0-0", f"{'9' * 19}-{'9' * 14}-{'9' * 18}", "1-1-1", "4621819117588971521-1-1"):
        for sort in ("score", "-score"):
            with subtests.test(cursor=cursor, sort=sort):
                assert ada.get(f"/logs?sort={sort}&cursor={cursor}").status_code == 200


def test_a_page_may_end_with_a_score_that_was_sent_as_minus_zero(ada: Person) -> None:
    prompt = ada.prompt()
    zeros = [ada.log(prompt, score=score)["_id"] for score in (-0.0, 0, -0.0)]
    path, pages = "/logs?sort=score&per_page=1", []
    while path:
        answer = ada.get(path)
        assert answer.status_code == 200, answer.text
        pages += answer.json
        path = answer.headers.get("Link", "<>")[1:].partition(">")[0]
    assert [(log["_id"], log["score"]) for log in pages] == [(id, 0) for id in zeros]


TRICKY = ["\n1", "＝1", "=1+1", "+1", "-1", "@x", "\t1", 'a "quoted", one\r\nand a line', "東京 🌱", "'quoted", ""]


@only_sqlite
@pytest.mark.parametrize("name", NDJSON_TYPES)
def test_a_list_of_lines_may_be_asked_for_by_every_name_of_ndjson(ada: Person, name: str) -> None:
    ada.log(ada.prompt())
    for path in ("/logs", "/prompts?per_page=1"):
        lines = ada.get(path, headers={"Accept": f"{name}, */*;q=0.1"})
        assert (lines.mimetype, lines.text) == (name, ada.get(path, headers={"Accept": NDJSON_TYPES[0]}).text)
        assert lines.text.count("\n") == 1


def test_a_list_is_returned_as_csv_or_ndjson_on_request(ada: Person) -> None:
    prompt = ada.prompt()
    for text in TRICKY:
        ada.log(prompt, output=text or "x", notes=text, score=9, variables={"a": [1]})
    expected = ada.get("/logs").json
    lines = ada.get("/logs", headers={"Accept": "application/x-ndjson"})
    assert (lines.mimetype, lines.headers["Vary"]) == ("application/x-ndjson", "Accept, Accept-Encoding")
    assert [json.loads(line) for line in lines.text.splitlines()] == expected
    table = ada.get("/logs?per_page=1000", headers={"Accept": "text/csv"})
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(table.text, newline="")))
    assert len(rows) == len(expected)
    for row, log in zip(rows, expected, strict=True):
        assert row["_id"] == log["_id"]
        assert (row["score"], row["variables"], row["cost"]) == ("9", '{"a":[1]}', "")
        runs = log["notes"].startswith(("=", "+", "-", "@", "\t", "\n", "＝"))
        assert row["notes"] == (f"'{log['notes']}" if runs else log["notes"])
        assert not row["output"].startswith(("=", "+", "-", "@"))


@only_sqlite
def test_no_cell_of_csv_is_a_formula_whatever_the_separator_is_taken_for(ada: Person) -> None:
    prompt = ada.prompt()
    formulas = [f"{sign}1+1" for sign in "=+-@＝＋－＠"]
    texts = [
        *(
            f"{before}{between}{formula};|\t"
            for before in ("x;", "|", "\t", "\n", "\r\n", ";;", '";')
            for between in ("", '"')
            for formula in formulas
        ),
        "- a\n- b; -c, =d",
    ]
    for text in texts:
        ada.log(prompt, output=f"x{text}", notes=text, variables={text: text}, metadata={"a": [text, -1]})
    expected = {log["_id"]: log for log in ada.get("/logs").json}
    table = ada.get("/logs", headers={"Accept": "text/csv"}).text
    for separator in ",;|\t":
        cells = [cell for row in csv.reader(io.StringIO(table, newline=""), delimiter=separator) for cell in row]
        assert len(cells) > len(texts)
        assert not [cell for cell in cells if cell.startswith(tuple("=+-@＝＋－＠"))]
    for row in csv.DictReader(io.StringIO(table, newline="")):
        log = expected[row["_id"]]
        assert json.loads(row["variables"]) == log["variables"]
        assert json.loads(row["metadata"]) == log["metadata"]
        assert row["output"].replace("'", "") == log["output"]
    first_row = table.partition("\r\n")[2]
    assert first_row.startswith('"log_')
    assert ',"1","' in first_row, "numbers are in quotes"
    assert '"gpt-4o",,,' in first_row, "what is missing is not"
    assert "'- a\n'- b; -c, =d" in table


BOM = b"\xef\xbb\xbf"


@only_sqlite
def test_csv_begins_with_a_byte_order_mark_on_request(ada: Person) -> None:
    prompt = ada.prompt(title="résumé")
    for number in range(3):
        ada.log(prompt, output=f"résumé {number}")
    stats = f"/prompts/{prompt['_id']}/stats"
    for path in ("/logs", "/logs?per_page=2", f"/logs?promptId={prompt['_id']}&sort=score", "/prompts", stats):
        plain = ada.get(path, headers={"Accept": "text/csv"})
        assert plain.data.startswith((b"_id,", b"model,"))
        link = "&" if "?" in path else "?"
        for asking in (
            ada.get(path, headers={"Accept": "text/csv; header=present; bom=1"}),
            ada.get(path, headers={"Accept": "text/html;q=0.1, text/csv;bom=1;q=0.9"}),
            ada.get(f"{path}{link}bom=1", headers={"Accept": "text/csv"}),
        ):
            assert asking.data == BOM + plain.data
            assert asking.headers["Content-Type"] == "text/csv; charset=utf-8"
        for other in ("text/csv; bom=0", "text/csv; bom=2", "text/csv; charset=utf-8"):
            assert ada.get(path, headers={"Accept": other}).data == plain.data
        assert ada.get(f"{path}{link}bom=0", headers={"Accept": "text/csv; bom=1"}).data == plain.data
        for accept in ("application/json", "application/x-ndjson", "application/json, text/csv;q=0.1;bom=1"):
            answer = ada.get(f"{path}{link}bom=1", headers={"Accept": accept})
            assert answer.text[0] in "{["
        assert ada.get(f"{path}{link}bom=yes").json["details"] == {"bom": ["must be one of 0, 1"]}
    page = ada.get("/logs?per_page=2&bom=1", headers={"Accept": "text/csv"})
    assert "bom=1" in page.headers["Link"], "the next page has one, too"


@only_sqlite
@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("text/csv; charset=utf-8", "text/csv"),
        ("text/*", "text/csv"),
        ("image/png", "application/json"),
        ("application/*", "application/json"),
        ("application/jsonl", "application/jsonl"),
        ("application/x-jsonlines; charset=utf-8, application/json;q=0.9", "application/x-jsonlines"),
    ],
)
def test_an_empty_list_has_the_most_preferred_accepted_format(ada: Person, accept: str, mimetype: str) -> None:
    for path in ("/logs", "/prompts", "/logs?per_page=5"):
        answer = ada.get(path, headers={"Accept": accept})
        assert answer.mimetype == mimetype
        begin = "" if "jsonl" in mimetype else "[]" if mimetype.endswith("json") else "_id,"
        assert answer.text.startswith(begin)


@only_sqlite
def test_every_combination_is_a_range_of_an_index(
    app: Flask, ada: Person, history: list[Any], subtests: pytest.Subtests
) -> None:
    sorts = ["-createdAt", "createdAt", "-score", "score"]
    scopes = [f"promptId={history[0]['promptId']}", ""]
    filters = ["", "model=gpt-4o", "minScore=5", "since=2024-01-01", "source=basalt"]
    for sort, scope, query in product(sorts, scopes, filters):
        cursor = "5-99999999999999-9" if sort.endswith("score") else "99999999999999-9"
        parts = [scope, query, f"sort={sort}", "per_page=2", f"cursor={cursor}"]
        with subtests.test(parts=parts):
            with statements(app) as seen:
                assert ada.get(f"/logs?{'&'.join(filter(None, parts))}").status_code == 200
            (listed,) = [pair for pair in seen if "FROM logs" in pair[0]]
            with app.app_context(), get_engine().connect() as connection:
                plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {listed[0]}", listed[1])]
            assert not [step for step in plan[1:] if " logs" in step], plan
            assert plan[0].startswith("SEARCH logs USING INDEX"), plan
            assert "<" in plan[0] or ">" in plan[0], f"not a range: {plan}"
