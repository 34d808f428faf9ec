"""Stored aggregates of days: whatever happens to logs, what is stored and what is read beside it have the same logs."""

import json
import random
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, func, select, update

from promptcrafter import clock
from promptcrafter.database.session import read_snapshot, session
from promptcrafter.database.transactions import writing
from promptcrafter.logs.models import DETAILS, AggregateScope, ChangedDay, Log
from promptcrafter.maintenance.aggregation import Aggregation, mark_wrong
from promptcrafter.statistics import day_aggregates, store
from promptcrafter.statistics.cells import Cell
from promptcrafter.statistics.day_aggregates import Coverage, Plan, Scope, plan, start_of
from promptcrafter.statistics.log_rows import CellKey, read_cells
from promptcrafter.statistics.models import DayAggregate
from promptcrafter.workspaces.principal import personal_workspace_id
from tests.support.members import share
from tests.support.people import Person
from tests.support.statements import statements

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store aggregates of few logs, in steps of few, at once."""
    monkeypatch.setattr(day_aggregates, "LEAST_LOGS", 1)
    monkeypatch.setattr(day_aggregates, "_MOST_LOGS", 7)
    monkeypatch.setattr(day_aggregates, "_LAG", timedelta(0))


def scopes_of(person: Person, prompts: list[dict[str, Any]]) -> list[Scope]:
    workspace_id = personal_workspace_id(person.id)
    of_workspace = [Scope(workspace_id, workspace_id), Scope.of_details(workspace_id)]
    return [*of_workspace, *(Scope(prompt["_id"], workspace_id) for prompt in prompts)]


def read_by_key(scope: Scope, begin: datetime, end: datetime, *, stored: bool) -> dict[CellKey, bytes]:
    """Return the cells of a period, from what is stored as far as possible or from rows alone."""
    cells: dict[CellKey, Cell] = {}
    with closing(read_snapshot()) as reader:
        coverage = day_aggregates.read_coverage(reader, scope.id) if stored else None
        planned = Plan(None, frozenset(), [(begin, end)]) if coverage is None else plan(coverage, begin, end)
        found = list(day_aggregates.each_cell(reader, scope.id, planned))
        for period in planned.periods:
            found += read_cells(reader, scope.condition, *period, scope.grain).items()
    for key, cell in found:
        if key in cells:
            cell.merge(cells[key])
        cells[key] = cell
    return {key: cell.dump() for key, cell in cells.items() if cell.logs or cell.failed}


def expect_same(scopes: list[Scope], *periods: tuple[datetime, datetime]) -> None:
    for scope in scopes:
        for begin, end in periods:
            assert read_by_key(scope, begin, end, stored=True) == read_by_key(scope, begin, end, stored=False), (
                scope,
                begin,
                end,
            )


def export_line(log: dict[str, Any], prompt: dict[str, Any], moment: datetime, number: int) -> dict[str, Any]:
    created = clock.to_text(moment)
    line = {"type": "log", "_id": f"log_late{number}", "promptId": prompt["_id"], "promptVersion": 1, **log}
    return {**line, "modelUsed": "late", "output": "o", "createdAt": created, "updatedAt": created}


def count(model: Any) -> int:
    return session.scalar(select(func.count()).select_from(model)) or 0


def test_whatever_happens_the_stored_days_and_the_rows_beside_them_have_the_same_logs(app: Flask, ada: Person) -> None:
    chance = random.Random(16)
    prompts = [ada.prompt(title=f"Prompt {number}") for number in range(2)]
    ada.patch(f"/prompts/{prompts[0]['_id']}", {"content": "Another content"})
    scopes = scopes_of(ada, prompts)
    ids: list[str] = []
    start = clock.now() - 4 * DAY

    def add() -> None:
        values = {"score": chance.choice([None, 3, 8, 8.5]), "latencyMs": chance.randint(1, 900), "cost": 0.25}
        body = {"promptVersion": 1, "modelUsed": chance.choice(["a", "b"]), "input": chance.choice("xyz"), **values}
        ids.append(ada.log(chance.choice(prompts), **body)["_id"])
        with app.app_context(), writing():  # as if it had been logged on one of the days before
            moment = start + timedelta(seconds=chance.randint(0, 3 * 86_400))
            # new ones only: a service never moves the time of a log
            session.execute(update(Log).where(Log.id == ids[-1]).values(created_at=max(moment, latest[0])))
            latest[0] = max(moment, latest[0])

    latest, aggregation = [start], Aggregation(Event())
    actions: dict[str, Callable[[], object]] = {
        "add": add,
        "score": lambda: ada.patch(f"/logs/{chance.choice(ids)}", {"score": chance.choice([None, 1, 9])}),
        "judge": lambda: ada.post(
            f"/logs/{chance.choice(ids)}/scores", {"name": "score", "value": 2, "identifier": chance.choice("pq")}
        ),
        "delete": lambda: ada.delete(f"/logs/{ids.pop(chance.randrange(len(ids)))}"),
        "roll": aggregation.run,
    }
    for _ in range(10):
        add()
    with app.app_context():
        for step in range(60):
            name = chance.choice(["add", "add", "score", "judge", "delete", "roll"])
            if name == "roll":
                aggregation._resting.clear()
            actions[name]()
            if step % 10 == 9:
                middle = start + timedelta(hours=chance.randint(0, 80))
                everything = day_aggregates.EARLIEST, clock.now() + DAY
                expect_same(scopes, everything, (start, middle), (middle, everything[1]))
        assert count(DayAggregate) > 0


def test_an_import_of_older_logs_marks_their_days_until_these_are_computed_again(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    for number in range(3):
        ada.log(prompt, score=number)
    with app.app_context():
        Aggregation(Event()).run()
    end = {"prompts": 0, "versions": 0, "experiments": 0, "traces": 0, "logs": 2}
    moment = clock.now() - 2 * DAY
    lines = [
        {"type": "export", "format": "promptcrafter", "version": 1},
        *(export_line({"score": 7}, prompt, moment + timedelta(hours=number), number) for number in range(2)),
        {"type": "end", **end},
    ]
    body = "\n".join(map(json.dumps, lines)) + "\n"
    answer = ada.post("/import", data=body, content_type="application/x-ndjson")
    assert answer.status_code == 200, answer.text
    everything = day_aggregates.EARLIEST, clock.now() + DAY
    with app.app_context():
        assert count(ChangedDay) > 0
        expect_same(scopes_of(ada, [prompt]), everything)
        Aggregation(Event()).run()
        assert count(ChangedDay) == 0
        expect_same(scopes_of(ada, [prompt]), everything)


def test_a_log_that_comes_late_marks_its_day(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    ada.log(prompt)
    with app.app_context():
        aggregation = Aggregation(Event())
        aggregation.run()
        log = ada.log(prompt, score=1)
        with writing():  # by a clock that was set back
            session.execute(update(Log).where(Log.id == log["_id"]).values(created_at=clock.now() - DAY))
        aggregation.run()
        expect_same(scopes_of(ada, [prompt]), (day_aggregates.EARLIEST, clock.now() + DAY))


def test_what_is_stored_of_a_prompt_goes_with_it_and_its_logs_leave_the_workspace(app: Flask, ada: Person) -> None:
    prompts = [ada.prompt(title=f"Prompt {number}") for number in range(2)]
    for prompt in prompts:
        ada.log(prompt, score=5)
    with app.app_context():
        Aggregation(Event()).run()
        assert ada.delete(f"/prompts/{prompts[0]['_id']}").status_code == 204
        assert set(session.scalars(select(AggregateScope.scope_id))) == {
            scope.id for scope in scopes_of(ada, prompts[1:])
        }
        expect_same(scopes_of(ada, prompts[1:]), (day_aggregates.EARLIEST, clock.now() + DAY))


def test_a_new_log_marks_nothing_and_a_scope_with_few_logs_is_not_stored(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_aggregates, "LEAST_LOGS", 3)
    prompt = ada.prompt()
    with app.app_context():
        aggregation = Aggregation(Event())
        ada.log(prompt)
        ada.log(prompt)
        aggregation.run()
        assert count(AggregateScope) == 0
        ada.log(prompt)
        aggregation.run()
        assert count(AggregateScope) == 3
        ada.log(prompt, score=3)
        assert count(ChangedDay) == 0


@pytest.mark.parametrize("until", [start_of(10), start_of(10) + timedelta(hours=5)])
def test_each_moment_of_a_period_is_read_once(until: datetime) -> None:
    chance = random.Random(3)
    for _ in range(300):
        begin, end = sorted(start_of(0) + timedelta(hours=chance.randint(-30, 14 * 24)) for _ in range(2))
        changed = frozenset(chance.sample(range(-1, 14), chance.randint(0, 4)))
        planned = plan(Coverage(until, changed), begin, end)
        first, last = planned.days or (0, -1)
        stored = [
            (start_of(day), min(start_of(day + 1), until))
            for day in range(first, last + 1)
            if day not in planned.without
        ]
        pieces = sorted(period for period in [*stored, *planned.periods] if period[0] < period[1])
        assert [piece[0] for piece in pieces[1:]] == [piece[1] for piece in pieces[:-1]]
        if begin < end:
            assert (pieces[0][0], pieces[-1][1]) == (begin, end)
        assert not {day for day in range(first, last + 1) if day in changed} - planned.without
        ends = [end for _, end in planned.periods]
        assert all(begin > end for (begin, _), end in zip(planned.periods[1:], ends, strict=False)), "none touch"


def test_the_earliest_time_of_an_import_is_within_what_is_read() -> None:
    assert datetime(1969, 12, 31, tzinfo=UTC) > day_aggregates.EARLIEST


def test_check_finds_days_that_differ_from_the_logs_and_has_them_computed_again(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    for number in range(3):
        ada.log(prompt, score=number)
    with app.app_context():
        Aggregation(Event()).run()
        assert mark_wrong(lambda done, total: None) == 0
        with writing():
            session.execute(update(DayAggregate).values(cell=Cell().dump()))
        assert mark_wrong(lambda done, total: None) == 3
        expect_same(scopes_of(ada, [prompt]), (day_aggregates.EARLIEST, clock.now() + DAY))
        Aggregation(Event()).run()
        assert count(ChangedDay) == 0
        expect_same(scopes_of(ada, [prompt]), (day_aggregates.EARLIEST, clock.now() + DAY))


_QUESTIONS = (
    *("prompt", "author", "label", "model", "prompt,version", "prompt,author", "prompt,label", "label,author"),
    *("model,author", "day,author", "week,prompt", "prompt,model&since={since}"),
    *("author&promptId={prompt}", "version,author&promptId={prompt}", "version&promptId={prompt}"),
)


def test_questions_have_the_same_answers_from_what_is_stored_as_from_the_logs(
    app: Flask, ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, there = random.Random(18), share(ada, ben, "editor")
    prompts = [ada.prompt(title=f"Prompt {number}") for number in range(2)]
    ada.patch(f"/prompts/{prompts[0]['_id']}", {"content": "Another content"})
    assert ada.put(f"/prompts/{prompts[0]['_id']}/labels/live", {"version": 1}).status_code == 200
    start = clock.now() - 3 * DAY
    for number in range(40):
        body = {"output": "o", "input": chance.choice("xyz"), "latencyMs": number, "cost": 0.1, "modelUsed": "m"}
        version = 1 if number % 2 else chance.choice([1, 2])
        body |= {"promptId": prompts[number % 2]["_id"], "promptVersion": version}
        body |= {"score": chance.randint(0, 10)} if chance.random() < 0.7 else {}
        body |= {"modelUsed": "n"} if chance.random() < 0.3 else {}
        answer = chance.choice([ada, ben]).post("/logs", body, headers=there)
        assert answer.status_code == 201, answer.text
        with app.app_context(), writing():
            moved = update(Log).where(Log.id == answer.json["_id"])
            session.execute(moved.values(created_at=start + timedelta(hours=number)))
            if number % 5 == 0:  # as calls that come by OpenTelemetry
                session.execute(moved.values(prompt_id=None, prompt_version=None))
    values = {"prompt": prompts[0]["_id"], "since": clock.to_text(start_of(day_aggregates.to_day(start) + 1))}
    paths = [f"/stats?groupBy={question.format(**values)}" for question in _QUESTIONS]
    from_logs = [ada.get(path).json for path in paths]
    with app.app_context():
        Aggregation(Event()).run()
    monkeypatch.setattr(store, "LOGS_MAX", 0)  # no log may be read
    for path, expected in zip(paths, from_logs, strict=True):
        assert len(expected["groups"]) > 1, path
        assert ada.get(path).json == expected, path


def test_logs_are_read_where_there_are_more_aggregates_than_are_read_for_an_answer(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [ada.prompt(title=f"Prompt {number}") for number in range(3)]
    for prompt in prompts:
        ada.log(prompt, score=1)
    paths = ["/stats?groupBy=prompt", "/stats?groupBy=prompt&since=1d", "/stats?groupBy=author"]
    of_one = f"/stats?groupBy=author&promptId={prompts[0]['_id']}"
    expected = [ada.get(path).json for path in [*paths, of_one, "/stats?groupBy=model"]]
    with app.app_context():
        Aggregation(Event()).run()
    monkeypatch.setattr(store, "CELLS_MAX", 2)
    assert [ada.get(path).json for path in [*paths, of_one, "/stats?groupBy=model"]] == expected
    monkeypatch.setattr(store, "LOGS_MAX", 2)
    for path in paths:
        answer = ada.get(path)
        assert answer.status_code == 400
        assert answer.json["details"] == {
            "since": ["selects more than 2 logs; narrow it, for example by since or promptId"]
        }
    assert [ada.get(path).json for path in (of_one, "/stats?groupBy=model")] == expected[3:]


def test_where_an_older_version_stored_aggregates_those_by_prompt_and_author_are_added(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [ada.prompt(title=f"Prompt {number}") for number in range(2)]
    for number in range(12):
        ada.log(prompts[number % 2], score=number % 4)
    paths = [f"/stats?groupBy={keys}" for keys in ("prompt", "author", "prompt,version", "model", "day")]
    expected = [ada.get(path).json for path in paths]
    with app.app_context():
        Aggregation(Event()).run()
        with writing():
            session.execute(delete(AggregateScope).where(AggregateScope.scope_id.startswith(DETAILS)))
        assert [ada.get(path).json for path in paths] == expected
        assert mark_wrong(lambda done, total: None) == 0
        Aggregation(Event()).run()  # of a service that starts
        assert mark_wrong(lambda done, total: None) == 0
        expect_same(scopes_of(ada, prompts), (day_aggregates.EARLIEST, clock.now() + DAY))
    monkeypatch.setattr(store, "LOGS_MAX", 0)  # no log may be read
    assert [ada.get(path).json for path in paths] == expected


def test_a_change_while_logs_are_read_leaves_the_mark_of_its_day_in_each_scope(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = ada.prompt()
    logs = [ada.log(prompt, score=number) for number in range(5)]
    changed: set[Any] = set()

    def read_and_change(reader: Any, condition: Any, begin: datetime, end: datetime, grain: Any) -> Any:
        cells = read_cells(reader, condition, begin, end, grain)
        if grain not in changed:
            changed.add(grain)
            assert ada.patch(f"/logs/{logs[len(changed)]['_id']}", {"score": 9}).status_code == 200
        return cells

    everything = day_aggregates.EARLIEST, clock.now() + DAY
    with app.app_context():
        with monkeypatch.context() as patched:
            patched.setattr(day_aggregates, "read_cells", read_and_change)
            Aggregation(Event()).run()
        assert changed == {"prompt", "workspace", "details"}
        expect_same(scopes_of(ada, [prompt]), everything)
        assert count(ChangedDay) > 0
        Aggregation(Event()).run()
        assert count(ChangedDay) == 0
        expect_same(scopes_of(ada, [prompt]), everything)


def test_logs_beside_what_is_stored_are_read_from_where_they_begin(app: Flask, ada: Person) -> None:
    for number in range(3):
        ada.log(ada.prompt(title=f"Prompt {number}"), score=1)
    with app.app_context():
        Aggregation(Event()).run()
    for path in ("/stats?groupBy=day&since=9d&until=2999-01-01", "/stats?groupBy=prompt&since=9d"):
        with statements(app) as seen:
            assert ada.get(path).json["groups"], path
        read = [statement for statement, _ in seen if "FROM logs" in statement and "created_at" in statement]
        assert read, path
        for statement in read:
            # with two lower bounds SQLite reads all logs from the earlier one on
            for part in statement.split("UNION ALL"):
                assert part.count("logs.created_at >=") == 1, path


def import_days(person: Person, prompt: dict[str, Any], days: Sequence[int]) -> None:
    """Import a log of each of the days, counted from now back, so that their stored aggregates are not right."""
    moments = [clock.now() - day * DAY for day in days]
    lines = [
        {"type": "export", "format": "promptcrafter", "version": 1},
        *(export_line({"score": 7}, prompt, moment, day) for day, moment in zip(days, moments, strict=True)),
        {"type": "end", "prompts": 0, "versions": 0, "experiments": 0, "traces": 0, "logs": len(moments)},
    ]
    body = "\n".join(map(json.dumps, lines)) + "\n"
    answer = person.post("/import", data=body, content_type="application/x-ndjson")
    assert answer.status_code == 200, answer.text


def test_the_limit_of_logs_is_that_of_all_changed_days_together(
    app: Flask, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = ada.prompt()
    ada.log(prompt, score=1)
    with app.app_context():
        Aggregation(Event()).run()
    import_days(ada, prompt, range(2, 12, 2))
    monkeypatch.setattr(store, "_PARTS_AT_ONCE", 2)
    monkeypatch.setattr(store, "LOGS_MAX", 5)
    (group,) = ada.get("/stats?groupBy=model").json["groups"][:1]
    assert (group["count"], group["score"]["mean"]) == (5, 7)
    monkeypatch.setattr(store, "LOGS_MAX", 4)
    assert ada.get("/stats?groupBy=model").json["details"] == {
        "since": ["selects more than 4 logs; narrow it, for example by since or promptId"]
    }


def test_raters_are_those_of_all_logs_or_of_none(
    app: Flask, ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = share(ada, ben, "editor")
    prompt = ada.prompt()
    for model, person in (("a", ada), ("b", ben)):
        for _ in range(15):
            body = {"promptId": prompt["_id"], "promptVersion": 1, "output": "o", "modelUsed": model}
            log = person.post("/logs", {**body, "score": 5}, headers=there)
            assert log.status_code == 201, log.text
    with app.app_context():
        Aggregation(Event()).run()
    for _ in range(2):
        ada.log(prompt, score=7, modelUsed="a")
    path = f"/prompts/{prompt['_id']}/stats?groupBy=model"
    assert ada.get(path).json["comparisons"][0]["warnings"] == ["The raters differ"]
    monkeypatch.setattr(store, "SCORES_MAX", 1)
    assert ada.get(path).json["comparisons"][0]["warnings"] == []


def test_changed_days_are_read_together(app: Flask, ada: Person) -> None:
    prompt = ada.prompt()
    ada.log(prompt, score=1)
    with app.app_context():
        Aggregation(Event()).run()
    numbers = []
    for days in (range(2, 4, 2), range(4, 24, 2)):
        import_days(ada, prompt, days)
        with statements(app) as seen:
            assert ada.get("/stats").status_code == 200
        numbers.append(len([statement for statement, _ in seen if statement.startswith("SELECT")]))
    assert numbers[0] == numbers[1]
