"""What is written as an array's literal is what PostgreSQL reads."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Boolean, Float, String, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.types import TypeEngine

from promptcrafter.database.array_literals import ArrayLiteral
from promptcrafter.database.base import JsonText, UtcTime
from promptcrafter.database.compiled import from_arrays
from promptcrafter.database.session import request_connection

pytestmark = pytest.mark.parametrize("engine_name", ["postgresql"])
TYPES: dict[str, TypeEngine[Any]] = {
    "text": String(64),
    "json": JsonText(),
    "whole": BigInteger(),
    "number": Float(53),
    "time": UtcTime(),
}
MOMENT = datetime(2026, 11, 22, 10, 0, 0, 123000, tzinfo=UTC)
NASTY = (
    *("", " ", "NULL", "null", "{}", "{a,b}", '"', '""', "\\", '\\"', "\\\\", "\\N", "\\0", "a,b", "'", "$1", "%(a)s"),
    *(
        "\n",
        "\r\n",
        "\t",
        "\x01\x7f\x85\u2028",
        " a ",
        "é",
        "e\u0301",
        "東京",
        "👩‍🔬",
        "\U0010ffff",
        "\ufeff",
        "\uffff",
    ),
)
texts = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.text(st.sampled_from("\\\"{},' \nNUL東👩")),
)
values = st.fixed_dictionaries(
    {
        "text": st.none() | texts,
        "json": st.none() | st.recursive(texts | st.integers(0, 9), lambda parts: st.lists(parts, max_size=3)),
        "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
        "number": st.none() | st.floats(allow_nan=False) | st.integers(-(2**53), 2**53).map(float),
        "time": st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
    }
)


@pytest.fixture(autouse=True)
def context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def read_back(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    arrays = from_arrays(TYPES)
    parameters = {name: [row[name] for row in rows] for name in TYPES}
    found = request_connection().execute(select(*(arrays.c[name] for name in TYPES)), parameters)
    return [dict(row) for row in found.mappings()]


def row_of(**values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(TYPES), **values}


@settings(max_examples=200, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(values, max_size=5))
@example(rows=[])
@example(rows=[row_of(text=text, json=[text]) for text in NASTY])
@example(rows=[row_of(), row_of(text="NULL"), row_of(text=""), row_of()])
@example(rows=[row_of(number=number) for number in (0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 7)])
@example(rows=[row_of(number=math.inf), row_of(number=-math.inf)])
def test_any_values_are_read_as_they_were_written(engine_name: str, rows: list[dict[str, Any]]) -> None:
    assert read_back(rows) == rows


def test_a_number_that_is_none_stays_none(engine_name: str) -> None:
    (row,) = read_back([row_of(number=math.nan)])
    assert math.isnan(row["number"])


def test_a_time_in_another_zone_is_the_same_moment(engine_name: str) -> None:
    time = MOMENT.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert [row["time"] for row in read_back([row_of(time=time)])] == [MOMENT]


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800"])
def test_text_that_cannot_be_stored_is_refused(engine_name: str, text: str) -> None:
    with pytest.raises((SQLAlchemyError, UnicodeEncodeError)) as raised:
        read_back([row_of(text=text)])
    assert isinstance(raised.value, DBAPIError | UnicodeEncodeError)


def test_a_type_without_a_form_is_refused_before_any_statement(engine_name: str) -> None:
    with pytest.raises(TypeError, match="no literal for Boolean"):
        ArrayLiteral(Boolean())
