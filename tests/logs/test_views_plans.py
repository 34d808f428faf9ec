"""Which indices PostgreSQL reads for `GET /logs`. For SQLite see `test_views_filters`."""

import re
from itertools import count

import pytest
from flask import Flask
from sqlalchemy import text

from promptcrafter.database.session import get_engine
from tests.support.databases import vacuum
from tests.support.many_logs import add_logs, engine_of
from tests.support.otlp import export, make_span
from tests.support.people import Person
from tests.support.statements import statements

pytestmark = pytest.mark.parametrize("engine_name", ["postgresql"])

MANY, FEW = 6000, 60
CURSOR = "1700000003000-3000"  # in the midst of the logs
INDEXED = {
    "status=error": "workspace_id_status",
    "userId=u": "workspace_id_user_id",
    "sessionId=s": "workspace_id_session_id",
    "environment=e": "workspace_id_environment",
    "hasNotes=true": "workspace_id_notes",
    "model=rare": "workspace_id_model_used",
    "promptId={prompt}&status=error": "prompt_id_status",
    "promptId={prompt}&hasNotes=true": "prompt_id_notes",
    "promptId={prompt}&promptVersion=1": "(prompt_id_|aggregates)",  # both have the version and the order
    "promptId={prompt}&label=production": "(prompt_id_|aggregates)",
}
IN_ORDER = (  # of which the matching logs are looked for in the order of the list
    *("scored=true", "scored=false", "hasNotes=false", "status=ok", "model=m*", "model=rare*", "model=none*"),
    *("tag=a", "tag=a&tag=b", "label=production", "metadata.k=v", "metadata.k=v&metadata.n=1"),
    *("metadata.none=1", "startedSince=2023-01-01T00:00:00Z", "startedUntil=2024-01-01T00:00:00Z", "source=basalt"),
    *("minScore=2", "maxScore=5", "scoreName=tone", "scoreName=tone&minScore=1", "scoreName=tone&maxScore=0.5"),
    *("scoreName=tone&scored=false", "scoreName=none&scored=false"),
)
_ADD_SCORES = """
    INSERT INTO scores (id, workspace_id, author_id, log_seq, prompt_id, name, value_kind, number, annotator, rater,
    identifier, created_at, updated_at, valued_at)
    SELECT 'score' || substr(id, 4), workspace_id, author_id, seq, prompt_id, 'tone', 'number', seq % 2, 'human',
    author_id, '', created_at, created_at, created_at FROM logs WHERE seq % 3 > 0
"""


@pytest.fixture
def prompt_id(ada: Person, database_url: str) -> str:
    """A prompt with logs of all kinds. Most logs have nothing that is asked for, so that each best index is certain."""
    prompt, other = ada.prompt(tags=["a", "b"]), ada.prompt()
    ada.put(f"/prompts/{prompt['_id']}/labels/production", {"version": 1})
    engine, mark = engine_of(database_url), count()

    def add(number: int, **columns: object) -> None:
        add_logs(engine, ada.id, number, str(next(mark)), **columns)

    add(MANY, prompt_id=other["_id"])
    add(MANY, prompt_id=other["_id"], score=8, user_id="x", session_id="x", environment="x")
    add(MANY // 2, prompt_id=prompt["_id"], score=3, start_time="2023-11-14T22:13:20Z")
    add(MANY // 2, prompt_id=prompt["_id"], metadata='{"k":"v"}', source="basalt")
    add(FEW, prompt_id=other["_id"], status="error", error="x", user_id="u", session_id="s", environment="e")
    add(FEW, prompt_id=other["_id"], notes="n", model_used="rare")
    add(FEW, prompt_id=prompt["_id"], notes="n", status="error", error="x")
    with engine.begin() as connection:
        connection.execute(text(_ADD_SCORES))
    vacuum(engine, "scores")
    engine.dispose()
    return str(prompt["_id"])


def explain(app: Flask, person: Person, query: str) -> list[str]:
    """Return PostgreSQL's plan for the statement that lists the logs."""
    with statements(app) as seen:
        answer = person.get(f"/logs?{query}&per_page=2")
        assert answer.status_code == 200, answer.text
    ((statement, values),) = [pair for pair in seen if "FROM logs" in pair[0] and "ORDER BY" in pair[0]]
    with app.app_context(), get_engine().connect() as connection:
        return [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values)]


def assert_is_range(plan: list[str], index: str) -> None:
    """Assert that logs are read from a place of this index on, in its order, until the page is full."""
    shown = "\n".join(plan)
    assert re.search(rf"Index (Only )?Scan (Backward )?using \w*{index}\w* on logs", shown), shown
    assert re.search(r"Index Cond: .*ROW\(.*\) [<>] ROW\(", shown), f"not a range: {shown}"
    assert_reads_no_more_than_the_page(plan)


def assert_reads_no_more_than_the_page(plan: list[str]) -> None:
    shown = "\n".join(plan)
    # with `worst`, the short parts of a page are sorted after they are read
    shown = re.split(r"Append |Nested Loop .*\n +->  Limit ", shown, maxsplit=1)[-1]
    assert not re.search(r"Seq Scan on logs|Bitmap|(?<!Incremental )Sort  ", shown), shown


def test_postgresql_reads_a_range_of_an_index_for_every_filter_that_has_one(
    app: Flask, ada: Person, prompt_id: str, subtests: pytest.Subtests
) -> None:
    for query, index in INDEXED.items():
        for sort in ("", "&sort=createdAt"):
            with subtests.test(query=query, sort=sort):
                plan = explain(app, ada, f"{query.format(prompt=prompt_id)}{sort}&cursor={CURSOR}")
                assert_is_range(plan, index)


def test_postgresql_reads_a_range_of_an_index_for_every_order(
    app: Flask, ada: Person, prompt_id: str, subtests: pytest.Subtests
) -> None:
    scopes = {"": "workspace_id_rank", f"promptId={prompt_id}&": "prompt_id_rank"}
    for scope, index in scopes.items():
        for sort in ("best", "worst", "score", "-score"):
            for query in ("", "minScore=2&", "minScore=2&maxScore=8&", "scored=true&"):
                with subtests.test(scope=scope, sort=sort, query=query):
                    assert_is_range(explain(app, ada, f"{scope}{query}sort={sort}&cursor=3-{CURSOR}"), index)


def test_postgresql_reads_the_logs_of_a_trace_by_its_index(
    app: Flask, ada: Person, prompt_id: str, database_url: str
) -> None:
    assert export(ada, make_span({"gen_ai.operation.name": "chat"})).status_code == 200
    (trace,) = ada.get("/traces").json
    engine = engine_of(database_url)
    add_logs(engine, ada.id, FEW, "t", prompt_id=prompt_id, trace_id=trace["_id"])
    engine.dispose()
    for query in ("", f"promptId={prompt_id}&", "sort=worst&", "model=m&"):
        shown = "\n".join(explain(app, ada, f"{query}traceId={trace['_id']}"))
        assert "ix_logs_trace_id_seq" in shown, shown


def test_postgresql_looks_for_all_others_in_the_order_of_the_list(
    app: Flask, ada: Person, prompt_id: str, subtests: pytest.Subtests
) -> None:
    """They are what the documentation says to combine with others that bound what is read."""
    for query in IN_ORDER:
        for scope in ("", f"promptId={prompt_id}&"):
            with subtests.test(query=query, scope=scope):
                assert_reads_no_more_than_the_page(explain(app, ada, f"{scope}{query}&cursor={CURSOR}"))
