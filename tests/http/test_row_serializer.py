"""Lists serialized from rows are byte for byte what their schemas dump from objects."""

from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import Schema
from sqlalchemy import select

from promptcrafter.clock import to_text
from promptcrafter.database.session import session
from promptcrafter.http.row_serializer import RowSerializer
from promptcrafter.jsonio import dumps
from promptcrafter.logs.models import Log
from promptcrafter.logs.schemas import LogOut
from promptcrafter.traces.models import Trace
from promptcrafter.traces.schemas import TraceOut, TraceWhole
from tests.contracts.test_unicode import ANY_TEXT, JSON_VALUES
from tests.support.full_account import fill_account
from tests.support.people import Person

LISTS: dict[str, tuple[Any, Schema]] = {
    "/logs": (Log, LogOut()),
    "/traces": (Trace, TraceOut()),
}
OBJECTS = st.dictionaries(ANY_TEXT, JSON_VALUES, max_size=3)
TEXTS_OR_JSON = ANY_TEXT | OBJECTS | st.lists(JSON_VALUES, max_size=3)
AMOUNTS = st.floats(0, allow_nan=False, allow_infinity=False) | st.integers(0, 2**60)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)).map(to_text)
LOGS = st.fixed_dictionaries(
    {"output": ANY_TEXT, "modelUsed": st.sampled_from(["gpt-4o", "☕"])},
    optional={
        "notes": st.just("") | ANY_TEXT,
        "score": st.integers(0, 10) | st.floats(0, 10),
        **dict.fromkeys(["input", "idealOutput"], TEXTS_OR_JSON),
        **dict.fromkeys(["variables", "metadata"], OBJECTS),
        **dict.fromkeys(["startTime", "endTime"], TIMES),
        **dict.fromkeys(["latencyMs", "inputTokens", "outputTokens", "cost"], AMOUNTS),
    },
)
RESULTS = st.fixed_dictionaries(
    {"variantKey": st.just("A")}, optional=dict.fromkeys(["input", "output", "metrics", "context"], OBJECTS)
)
SPANS = st.fixed_dictionaries(
    {"id": ANY_TEXT, "type": st.sampled_from(["generation", "span"])},
    optional={"name": ANY_TEXT, "input": TEXTS_OR_JSON, "output": TEXTS_OR_JSON, "metadata": OBJECTS},
)
TRACES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"featureSlug": ANY_TEXT, "logs": st.lists(SPANS, max_size=2, unique_by=lambda span: str(span["id"]))},
    optional={
        "name": ANY_TEXT,
        **dict.fromkeys(["input", "output", "idealOutput"], TEXTS_OR_JSON),
        **dict.fromkeys(["metadata", "organization", "user", "evaluationConfig"], OBJECTS),
        **dict.fromkeys(["startTime", "endTime"], TIMES),
    },
)


def dumped(app: Flask, path: str) -> list[str]:
    """Return what the schema of a list makes of each object, newest first."""
    model, schema = LISTS[path]
    with app.app_context():
        found = session.scalars(select(model).order_by(model.created_at.desc(), model.seq.desc()))
        return [dumps(schema.dump(row)) for row in found]


def test_lists_from_rows_equal_what_their_schemas_dump(app: Flask, ada: Person) -> None:
    fill_account(ada)
    for path in LISTS:
        rows = dumped(app, path)
        assert rows
        assert ada.get(path).text == f"[{','.join(rows)}]"
        assert ada.get(f"{path}?per_page=1").text == f"[{rows[0]}]"
        assert ada.get(path, headers={"Accept": "application/x-ndjson"}).text == "".join(f"{row}\n" for row in rows)


@pytest.mark.slow
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=LOGS, result=RESULTS, trace=TRACES)
def test_lists_from_rows_equal_what_their_schemas_dump_for_any_content(
    app: Flask, ada: Person, log: dict[str, Any], result: dict[str, Any], trace: dict[str, Any]
) -> None:
    prompt = ada.prompt()
    ada.post(  # in all rounds but the first it is there
        "/experiments", {"slug": "e", "name": "n", "status": "ACTIVE", "variants": [{"key": "A", "trafficPercent": 1}]}
    )
    assert ada.post("/logs", {**log, "promptId": prompt["_id"]}).status_code == 201
    assert ada.post("/experiment/e/log", result).status_code == 200
    answer = ada.post("/basalt/monitor/trace", trace)
    assert answer.status_code in (200, 201), answer.text
    for path in LISTS:
        assert ada.get(f"{path}?per_page=4").text == f"[{','.join(dumped(app, path)[:4])}]"


def test_a_schema_with_fields_of_another_table_has_no_row_serializer() -> None:
    with pytest.raises(KeyError, match="spans"):
        RowSerializer(Trace, TraceWhole())
