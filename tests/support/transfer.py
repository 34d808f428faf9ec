"""Exports and imports of a whole account."""

import json
from typing import Any

from tests.support.people import Answer, Caller, Person

NDJSON_HEADERS = {"Content-Type": "application/x-ndjson"}
TYPES = ("prompts", "versions", "experiments", "traces", "logs")
EMPTY_EXPORT = (
    b'{"type":"export","format":"promptcrafter","version":2}\n'
    b'{"type":"end","prompts":0,"versions":0,"experiments":0,"traces":0,"logs":0,"scoreConfigs":0,"scores":0}\n'
)


def export(person: Person) -> bytes:
    """Return the export of an account."""
    answer = person.get("/export")
    assert (answer.status_code, answer.mimetype) == (200, "application/x-ndjson"), answer.text
    return bytes(answer.data)


def import_file(person: Caller, data: bytes | list[Any]) -> Answer:
    """Import a file, or objects as its lines, and return the response."""
    return person.post("/import", data=data if isinstance(data, bytes) else join(data), headers=NDJSON_HEADERS)


def join(lines: list[Any]) -> bytes:
    """Return objects as lines of JSON."""
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def as_imported(data: bytes) -> bytes:
    """Return an export as it is after an import elsewhere: its scores have the mark of imported ones."""
    lines = data.splitlines(keepends=True)
    mark = b',"imported":true,"createdAt":'
    marked = (
        line if mark in line or not line.startswith(b'{"type":"score"') else line.replace(b',"createdAt":', mark)
        for line in lines
    )
    return b"".join(marked)


def counts(answer: Answer, outcome: str) -> tuple[int, ...]:
    """Return how many records of each of `TYPES`, which leaves out scores, an import `created` or `skipped`."""
    assert answer.status_code == 200, answer.text
    return tuple(answer.json[name][outcome] for name in TYPES)


def remove_all(person: Person) -> None:
    """Delete all data of an account."""
    for experiment in person.get("/experiments").json:
        person.delete(f"/experiments/{experiment['slug']}")
    for name in ("logs", "traces", "prompts"):
        for resource in person.get(f"/{name}").json:
            person.delete(f"/{name}/{resource['_id']}")
    assert export(person) == EMPTY_EXPORT
