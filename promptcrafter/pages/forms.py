"""Forms: read with the same schemas as the API's bodies, and shown again with what is wrong beside each field."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import current_app, request
from marshmallow import EXCLUDE, Schema

from promptcrafter.http.schemas import load
from promptcrafter.problems import Details, Invalid

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Form:
    """What was sent, what it loads to, and the reasons against it by field."""

    sent: dict[str, str]
    values: dict[str, Any] = field(default_factory=dict)
    errors: Details = field(default_factory=dict)


def read_form(schema: Schema, **converted: Any) -> Form:
    """Return the form of the request, loaded with the schema of the API's body.

    Browsers send an empty text for a field without a value: that counts as absent. `converted` are values of fields
    whose JSON is not a text, made from the form by the page.
    """
    sent = read_fields()
    body: Mapping[str, Any] = {**{name: text for name, text in sent.items() if text != ""}, **converted}
    try:
        return Form(sent, load(schema, body, unknown=EXCLUDE))
    except Invalid as problem:
        return Form(sent, errors=problem.details or {})


def read_fields() -> dict[str, str]:
    """Return the fields of the form, with line ends as texts have them: browsers send both characters."""
    request.max_form_memory_size = current_app.config["MAX_BODY_BYTES"]
    return {name: value.replace("\r\n", "\n") for name, value in request.form.items()}


def read_words(name: str) -> list[str]:
    """Return the words of a field, which blanks, commas or line ends separate."""
    return read_fields().get(name, "").replace(",", " ").split()


def read_lines(name: str) -> list[str]:
    """Return the lines of a field, without blanks around them and without empty ones."""
    lines = (line.strip() for line in read_fields().get(name, "").split("\n"))
    return [line for line in lines if line]


def read_rows(columns: Sequence[str], field: str, maximum: int) -> list[dict[str, str]]:
    """Return rows of a form, in which each column's field is repeated. The first column has a field for every row.

    Raises 400 that names `field` for more rows than `maximum`, which would take long to show again.
    """
    read_fields()  # which sets how large a form may be
    values = {name: request.form.getlist(name) for name in columns}
    count = len(values[columns[0]])
    if count > maximum:
        raise Invalid({field: [f"must have at most {maximum} entries"]})
    return [
        {name: texts[row].replace("\r\n", "\n") if row < len(texts) else "" for name, texts in values.items()}
        for row in range(count)
    ]


def read_number(name: str) -> float | str | None:
    """Return the number in a field; what is none as it is, for the schema to refuse; None without any."""
    text = read_fields().get(name, "").strip()
    return to_number(text) if text else None


def to_number(text: str) -> float | str:
    """Return the number that a text is, written as JSON writes numbers or with a plus or bare point before or after it.

    Any other text is returned itself, for a schema to judge: Python would take `1_0`, `nan` and other scripts' digits.
    """
    if not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    return number if math.isfinite(number) else text


def join_errors(errors: Details, name: str) -> Details:
    """Return errors in which those of the items of a list are those of its one field."""
    of_items = [
        f"{key.rpartition('.')[2]}: {'; '.join(texts)}" for key, texts in errors.items() if key.startswith(f"{name}.")
    ]
    others = {key: texts for key, texts in errors.items() if not key.startswith(f"{name}.")}
    return {**others, name: [*others.get(name, []), *of_items]} if of_items else others
