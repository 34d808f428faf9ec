"""How the service uses its database: settings, query plans and the number of statements."""

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request
from sqlalchemy import select, text

from config import Config
from promptcrafter.database.session import ensure_database, get_engine, read_snapshot
from promptcrafter.prompts.models import SearchText
from promptcrafter.prompts.search import FIELDS, index_matches
from tests.support.databases import EMPTIER, only_sqlite
from tests.support.environment import SECRET
from tests.support.people import Caller, Person, sign_up
from tests.support.statements import executed_by_sqlite, statements

READS = [
    "/prompts",
    "/prompts?per_page=2",
    "/prompts?model=gpt-4o",
    "/prompts?tag=a",
    "/prompts?tag=a&tag=b&label=production",
    "/prompts?label=production&per_page=1&cursor=99999999999999-9",
    "/prompts?slug=title-0",
    "/tags",
    "/tags?per_page=1&cursor=1",
    "/prompts?tag=a&model=gpt-4o&per_page=1&cursor=99999999999999-9",
    "/prompts/{prompt}",
    "/prompts/by-slug/title-0",
    "/prompts/by-slug/title-0/versions/1",
    "/prompts/by-slug/title-0/versions/production",
    "/prompts?folder=title-0",
    "/prompts?folder=title-0&per_page=1&cursor=99999999999999-9",
    "/logs",
    "/logs?per_page=2",
    "/logs?per_page=2&cursor=99999999999999-9",
    "/logs?promptId={prompt}",
    "/logs?promptId={prompt}&per_page=2&cursor=99999999999999-9",
    "/logs?q=output",
    "/logs?q=out*+an&per_page=2&cursor=99999999999999-9",
    "/logs?q=output&per_page=2&cursor=9-9&sort=createdAt",
    "/logs?q=output&promptId={prompt}&model=gpt-4o&since=2000-01-01&until=2100-01-01&per_page=2&cursor=99999999999999-9",
    "/logs/{log}",
    "/logs/{log}/scores",
    "/scores",
    "/scores?per_page=2&cursor=99999999999999-9",
    "/scores?name=score&annotator=human&per_page=2&cursor=99999999999999-9",
    "/scores?author=user_x&per_page=2&cursor=99999999999999-9",
    "/scores?promptId={prompt}&name=score&per_page=2&cursor=99999999999999-9",
    "/score-configs",
    "/search?q=content",
    "/search?q=co",
    "/search?q=c+content+%E6%9D%B1%E4%BA%AC&per_page=2",
    "/search?q=co&per_page=2&cursor=5-99999999999999-9",
    "/prompts/{prompt}/versions",
    "/prompts/{prompt}/versions?per_page=1&cursor=9",
    "/prompts/{prompt}/versions/latest",
    "/prompts/{prompt}/versions/production",
    "/prompts/{prompt}/diff?from=1&to=1",
    "/auth/me",
    "/auth/keys",
    "/auth/keys?per_page=1&cursor=99999999999999-9",
    "/traces",
    "/traces?per_page=1&cursor=99999999999999-9",
    "/traces?source=otlp&name=n&status=error&since=7d&sort=-cost&per_page=2&cursor=5-99999999999999-9",
    "/traces?userId=u&per_page=2",
    "/traces?sort=duration",
    "/traces/{trace}",
    "/traces/{trace}/tree",
    "/experiments",
    "/experiments?per_page=1&cursor=99999999999999-9",
    "/experiments/greeting",
    "/experiments/greeting/logs",
    "/experiments/greeting/logs?per_page=1&cursor=99999999999999-9",
    "/experiments/greeting/logs?variantKey=A",
    "/experiments/greeting/logs?variantKey=A&per_page=1&cursor=99999999999999-9",
    "/experiments/greeting/results",
    "/prompts/{prompt}/stats",
    "/prompts/{prompt}/stats?groupBy=version&since=2024-01-01&until=2999-01-01",
    "/prompts/{prompt}/stats?groupBy=model,version",
    "/prompts/{prompt}/stats?groupBy=label,metadata.a&score=tone&annotator=judge",
    "/stats?groupBy=prompt,day&tz=Europe/Berlin",
    "/stats?groupBy=author,week&promptId={prompt}&promptVersion=1&since=7d",
    "/compare?logs={log},{other}",
    "/basalt/prompts",
    "/basalt/prompts?featureSlug=a",
    "/basalt/prompts/title-0",
    "/basalt/prompts/title-0/describe",
    "/export",
]

# A full-text index is "scanned" by what its MATCH finds (index M), and by every row without one. The last ones are what
# statistics and pages of a search make on their way from rows that an index has found
HARMLESS = re.compile(
    r"SCAN (prompt_trigrams|prompt_grams|log_words) VIRTUAL TABLE INDEX \d+:.*M|SCAN CONSTANT ROW$"
    r"|SCAN pending_deletions"  # almost always empty
    r"|SCAN (counts|limited|ranked|recent\w*|step_\d+|best|\(subquery-\d+\))( LEFT-JOIN)?$"
)


@pytest.fixture
def library(ada: Person) -> dict[str, str]:
    prompts = [ada.prompt(title=f"Title {n}", content=f"content {n}", tags=["a", "b"]) for n in range(5)]
    logs = [ada.log(prompt) for prompt in prompts for _ in range(2)]
    ada.patch(f"/prompts/{prompts[0]['_id']}", {"content": "of a second version"})
    ada.open(f"/prompts/{prompts[0]['_id']}/labels/production", method="PUT", json={"version": 1})
    ada.post("/experiments", {"slug": "greeting", "name": "n", "variants": [{"key": "A", "trafficPercent": 1}]})
    ada.post("/experiment/greeting/log", {"variantKey": "A", "metrics": {"m": 1}})
    span = {"id": "1", "type": "generation", "prompt": {"slug": "title-0"}, "output": "x"}
    trace = ada.post("/basalt/monitor/trace", {"featureSlug": "f", "logs": [span]}).json["trace"]
    return {"prompt": prompts[0]["_id"], "log": logs[0]["_id"], "other": logs[1]["_id"], "trace": trace["id"]}


@only_sqlite
def test_no_list_and_no_search_scans_a_table(
    app: Flask, ada: Person, library: dict[str, str], subtests: pytest.Subtests
) -> None:
    for path in READS:
        with subtests.test(path=path):
            plans = [plan for _, plan in explain(app, ada, path.format(**library))]
            assert plans
            for plan in plans:
                scans = [step for step in plan if step.startswith("SCAN")]
                assert all(map(HARMLESS.match, scans)), plan


@only_sqlite
def test_no_page_is_sorted_row_by_row(
    app: Flask, ada: Person, library: dict[str, str], subtests: pytest.Subtests
) -> None:
    for path in (path for path in READS if "cursor" in path and "search" not in path and "tag" not in path):
        with subtests.test(path=path):
            plans = [plan for statement, plan in explain(app, ada, path.format(**library)) if "LIMIT" in statement]
            assert plans
            for plan in plans:
                assert not any("TEMP B-TREE" in step for step in plan), plan


def explain(app: Flask, person: Person, path: str) -> list[tuple[str, list[str]]]:
    """Return the queries that a GET of the path sends to SQLite, each with the steps of its plan."""
    with executed_by_sqlite(app) as executed, statements(app) as seen:
        assert person.get(path).status_code == 200
    seen = seen or [(statement, ()) for statement in executed]  # those of compiled queries
    with app.app_context(), get_engine().connect() as connection:
        return [
            (statement, [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)])
            for statement, parameters in seen
            if statement.startswith(("SELECT", "WITH"))
        ]


@only_sqlite
def test_a_log_in_finds_its_account_by_indices(app: Flask, ada: Person) -> None:
    with statements(app) as seen:
        ada.post("/auth/login", {"email": "e\u0301@example.com", "password": "wrong"})
    lookups = [(statement, values) for statement, values in seen if "email_identity" in statement]
    with app.app_context(), get_engine().connect() as connection:
        ((statement, values),) = lookups
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert [step for step in plan if "users" in step] == [
        "SEARCH users USING INDEX ix_users_email_identity (email_identity=?)",
        "SEARCH users USING INDEX sqlite_autoindex_users_2 (email_key=?)",
    ]


@only_sqlite
@pytest.mark.parametrize("parent", ["prompts", "traces", "experiments", "workspaces"])
def test_no_delete_scans_the_logs_for_rows_to_cascade_to(app: Flask, parent: str) -> None:
    """SQLite looks for a parent's rows with a statement like this one."""
    column = f"{parent[:-1]}_id"
    with app.app_context(), get_engine().connect() as connection:
        plan = [
            row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN SELECT 1 FROM logs WHERE {column} = 'x'"))
        ]
    assert plan[0].startswith("SEARCH logs USING"), plan


@only_sqlite
def test_the_plan_test_would_see_a_scan(app: Flask) -> None:
    with app.app_context(), get_engine().connect() as connection:
        plan = [
            row[3] for row in connection.execute(text("EXPLAIN QUERY PLAN SELECT * FROM prompts WHERE title = 'x'"))
        ]
    assert plan == ["SCAN prompts"]


def test_the_number_of_statements_does_not_grow_with_the_rows(app: Flask, ada: Person, library: dict[str, str]) -> None:
    most = {"/prompts": 4, "/logs": 2, "/logs?promptId={prompt}": 3, "/search?q=title": 4, "/prompts/{prompt}": 4}

    def count(path: str) -> int:
        with statements(app) as seen:
            ada.get(path.format(**library))
        return sum(statement.startswith("SELECT") for statement, _ in seen)

    few = {path: count(path) for path in most}
    for n in range(10):
        ada.log(ada.prompt(title=f"More title {n}", tags=["a", "c"]))
    assert {path: count(path) for path in most} == few
    assert [path for path in most if few[path] > most[path]] == []


@only_sqlite
def test_authentication_takes_one_statement_that_uses_an_index(app: Flask, client: Caller, ada: Person) -> None:
    key = ada.post("/auth/keys", {"name": "k"}).json["key"]
    client.get("/limits", headers={"X-Api-Key": key})  # the first use in an hour is noted
    for credential in (ada.token, key):
        with executed_by_sqlite(app) as seen:
            assert client.get("/limits", headers={"Authorization": f"Bearer {credential}"}).status_code == 200
        (statement,) = [statement for statement in seen if statement.startswith("SELECT")]
        with app.app_context(), get_engine().connect() as connection:
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]
        assert all(step.startswith("SEARCH") for step in plan), plan


@only_sqlite
def test_sqlite_runs_as_documented(app: Flask, with_settings: Callable[..., Any]) -> None:
    expected = {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 2000, "auto_vacuum": 2}
    expected["journal_size_limit"] = 16 * 1024 * 1024

    def pragmas(of: Flask) -> dict[str, Any]:
        with of.app_context(), get_engine().connect() as connection:
            return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in expected}

    assert pragmas(app) == expected
    default = with_settings(sqlite_synchronous=Config.sqlite_synchronous).client.application
    assert pragmas(default) == {**expected, "synchronous": 2}


def test_a_new_database_is_readable_by_its_owner_only(make_app: Callable[[Config], Flask], tmp_path: Path) -> None:
    path = tmp_path / "folder" / "new.db"
    app = make_app(Config(database_url=f"sqlite:///{path}", jwt_secret_key=SECRET))
    assert not path.parent.exists()
    with app.app_context():
        ensure_database()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@only_sqlite
def test_writing_requests_begin_as_writers_and_reading_ones_do_not(app: Flask, ada: Person) -> None:
    def begins(seen: list[str]) -> list[str]:
        return [statement for statement in seen if statement.startswith("BEGIN")]

    with executed_by_sqlite(app) as seen:
        prompt = ada.prompt()
    assert begins(seen) == ["BEGIN IMMEDIATE"]
    for path, expected in (
        (f"/prompts/{prompt['_id']}/diff?from=1&to=1", ["BEGIN"]),
        (f"/prompts/{prompt['_id']}", []),
    ):
        with executed_by_sqlite(app) as seen:
            ada.get(path)
        assert begins(seen) == expected, "a single statement needs no transaction"


@only_sqlite
def test_the_search_indices_agree_with_their_texts_after_every_kind_of_change(app: Flask, ada: Person) -> None:
    prompts = [ada.prompt(title=f"Title {n}", content="some content 東京", tags=["x"]) for n in range(4)]
    ada.patch(f"/prompts/{prompts[0]['_id']}", {"content": "changed", "tags": []})
    ada.delete(f"/prompts/{prompts[1]['_id']}")
    with app.app_context(), get_engine().connect() as connection:
        for index in ("prompt_trigrams", "prompt_grams"):
            connection.exec_driver_sql(f"INSERT INTO {index} ({index}, rank) VALUES ('integrity-check', 1)")
        assert connection.exec_driver_sql("SELECT count(*) FROM prompt_search").scalar() == 3
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


@pytest.mark.parametrize("engine_name", ["postgresql"])
@pytest.mark.parametrize(
    ("word", "fields", "indices"),
    [
        ("content", FIELDS, [f"{field}_grams" for field in FIELDS]),
        ("content", ["content"], ["content_trigrams"]),
        ("co", ["content"], ["content_grams"]),
    ],
)
def test_postgresql_searches_by_its_indices(app: Flask, word: str, fields: list[str], indices: list[str]) -> None:
    with app.app_context(), get_engine().connect() as connection:
        found = select(SearchText.seq).where(index_matches([word], fields, "OR"))
        connection.execute(text("SET enable_seqscan = off"))
        statement = found.compile(connection)
        plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", statement.params))
    assert "Seq Scan" not in plan
    for index in indices:
        assert f"ix_prompt_search_{index}" in plan


def cut_connections() -> None:
    """End every connection of the application's database but one's own and the tests', and wait for their end."""
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
    with get_engine().connect() as connection:
        others = f"pid <> pg_backend_pid() AND application_name <> '{EMPTIER}'"
        assert set(connection.scalars(text(f"{ended} AND {others}"))) == {True}


@pytest.mark.parametrize("engine_name", ["postgresql"])
def test_a_database_that_goes_away_after_the_last_read_does_not_change_the_response(
    make_app: Callable[[Config], Flask], config: Config
) -> None:
    app = make_app(config)

    @app.after_request
    def cut(response: Response) -> Response:
        if request.path == "/auth/me":
            cut_connections()
        return response

    ada = sign_up(Caller(app.test_client()), "ada")
    for _ in range(3):
        assert ada.get("/auth/me").json["_id"] == ada.id
    with app.app_context(), read_snapshot() as reader:
        assert reader.scalar(text("SELECT 1")) == 1
        cut_connections()
