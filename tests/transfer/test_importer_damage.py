"""A file with any error is refused completely, with the line, the field and the rule."""

import json
from typing import Any

import pytest

from promptcrafter.slugs import SLUG_RULE
from tests.support.databases import only_sqlite
from tests.support.people import Person
from tests.support.transfer import EMPTY_EXPORT, counts, export, import_file, join

MADE = {"createdAt": "2024-06-20T13:10:00.000Z"}
TIMES = {**MADE, "updatedAt": "2024-06-20T13:10:00.000Z"}
GOOD: list[dict[str, Any]] = [
    {"type": "export", "format": "promptcrafter", "version": 2},
    {"type": "prompt", "_id": "prompt1", "slug": "one", "title": "Title", "tags": ["a"], **TIMES},
    {"type": "version", "promptId": "prompt1", "version": 1, "content": "c", "model": "m", "labels": ["old"], **MADE},
    {"type": "version", "promptId": "prompt1", "version": 2, "content": "d", "model": "m", "labels": [], **MADE},
    {"type": "experiment", "_id": "experiment1", "slug": "S", "name": "n", "status": "DRAFT"}
    | {"variants": [{"key": "A", "payload": {}, "trafficPercent": 1, "promptId": "prompt1"}], **TIMES},
    {"type": "trace", "_id": "trace1", "source": "basalt", "slug": "f", "experimentId": "experiment1", **MADE},
    {"type": "log", "_id": "log1", "promptId": "prompt1", "promptVersion": 2, "modelUsed": "m", "output": "x", **TIMES},
    {"type": "log", "_id": "log2", "source": "agenttest", "traceId": "trace1", "experimentId": "experiment1"}
    | {"variantKey": "A", **TIMES},
    {"type": "score", "_id": "score1", "logId": "log1", "name": "score", "value": 7, "annotator": "human"}
    | {"author": {"userId": "user1", "name": "Ben"}, "imported": True, **TIMES},
    {
        "type": "end",
        "prompts": 1,
        "versions": 2,
        "experiments": 1,
        "traces": 1,
        "logs": 2,
        "scoreConfigs": 0,
        "scores": 1,
    },
]
EXPORT, PROMPT, FIRST, SECOND, EXPERIMENT, TRACE, LOG, RESULT, SCORE, END = range(10)
MESSAGES = [{"role": "user", "content": "c"}]
CHAT = {name: value for name, value in GOOD[FIRST].items() if name != "content"}
REQUIRED = ["is required"]
UNKNOWN = ["must be in a line before or in the workspace"]


def change(number: int, **values: Any) -> bytes:
    """Return the good lines with other values in one; None takes a field away."""
    lines = [dict(line) for line in GOOD]
    lines[number] |= values
    lines[number] = {name: value for name, value in lines[number].items() if value is not None}
    return join(lines)


def without(*numbers: int) -> bytes:
    return join([line for number, line in enumerate(GOOD) if number not in numbers])


def behind(number: int, *lines: Any) -> bytes:
    return join([*GOOD[: number + 1], *lines, *GOOD[number + 1 :]])


def raw(number: int, data: bytes) -> bytes:
    lines = join(GOOD).splitlines(keepends=True)
    lines[number] = data + b"\n"
    return b"".join(lines)


def nested(levels: int) -> bytes:
    return b'{"type": "log", "metadata": ' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"


DAMAGES: dict[str, tuple[bytes, dict[str, list[str]]]] = {
    "empty": (b"", {"line 1.type": ["must be export, as in the first line of every export"]}),
    "no first line": (without(EXPORT), {"line 1.type": ["must be export, as in the first line of every export"]}),
    "another form": (change(EXPORT, format="csv"), {"line 1.format": ["must be one of promptcrafter"]}),
    "a newer version": (
        change(EXPORT, version=3),
        {"line 1.version": ["must be 1 or 2, which is what this release reads"]},
    ),
    "no version": (change(EXPORT, version=None), {"line 1.version": REQUIRED}),
    "cut in a line": (
        join(GOOD)[:-20],
        {"line 10": ["must be JSON (column 88: Unterminated string starting at)"]},
    ),
    "a line cut in the middle": (
        raw(EXPORT + 1, b'{"type": "prompt"'),
        {"line 2": ["must be JSON (column 18: Expecting ',' delimiter)"]},
    ),
    "empty lines without end": (
        raw(EXPORT, join(GOOD[:1]) + b"\n" * 2_000_000),
        {"line 1002": ["must not be empty, as 1,000 before it are"]},
    ),
    "cut between lines": (
        without(END),
        {"line 9": ["must be followed by more: the file ends without its end line"]},
    ),
    "lines lost": (
        without(LOG, RESULT, SCORE),
        {"line 7.logs": ["must be 0, for so many there are"], "line 7.scores": ["must be 0, for so many there are"]},
    ),
    "lines behind the end": (
        behind(END, GOOD[LOG]),
        {"line 11": ["must not stand behind the end line"]},
    ),
    "two files": (
        join([*GOOD[:LOG], *GOOD]),
        {"line 7.type": ["must be one of prompt, version, experiment, trace, log, scoreConfig, score, span"]},
    ),
    "no JSON": (
        raw(LOG, b"{'a': 1}"),
        {"line 7": ["must be JSON (column 2: Expecting property name enclosed in double quotes)"]},
    ),
    "NaN": (raw(LOG, b'{"score": NaN}'), {"line 7": ["must be JSON (column 11: NaN is not a JSON number)"]}),
    "a key twice": (
        raw(LOG, b'{"a": 1, "a": 1}'),
        {"line 7": ['must be JSON (The JSON has the key "a" twice in one object)']},
    ),
    "no UTF-8": (raw(LOG, b'{"a": "\xff"}'), {"line 7": ["must be JSON (The body is not UTF-8: byte 8 is invalid)"]}),
    "too deep": (raw(LOG, nested(100)), {"line 7": ["must be JSON (The JSON is nested deeper than 100 levels)"]}),
    "no object": (raw(LOG, b"[1]"), {"line 7": ["must be an object"]}),
    "no type": (
        change(LOG, type=None),
        {"line 7.type": ["must be one of prompt, version, experiment, trace, log, scoreConfig, score, span"]},
    ),
    "an unknown type": (
        change(LOG, type=["log"]),
        {"line 7.type": ["must be one of prompt, version, experiment, trace, log, scoreConfig, score, span"]},
    ),
    "fields missing": (change(PROMPT, title=None, tags=None), {"line 2.title": REQUIRED, "line 2.tags": REQUIRED}),
    "a field unknown": (change(LOG, modle="m"), {"line 7.modle": ["is not a field of such a line"]}),
    "a score too high": (change(LOG, score=11), {"line 7.score": ["must be a number from 0 to 10"]}),
    "a score of text": (change(LOG, score="9"), {"line 7.score": ["must be a number from 0 to 10"]}),
    "several at once": (
        change(LOG, score=True, notes=5),
        {"line 7.notes": ["must be a string"], "line 7.score": ["must be a number from 0 to 10"]},
    ),
    "NUL": (change(LOG, output="a\x00"), {"line 7.output": ["must not contain the NUL character (U+0000)"]}),
    "NUL in a key": (
        change(LOG, metadata={"\x00": 1}),
        {"line 7.metadata": ["must not contain the NUL character (U+0000)"]},
    ),
    "half a character": (
        raw(LOG, json.dumps(GOOD[LOG] | {"notes": "\ud83d"}).encode()),
        {"line 7.notes": ["must not contain a lone surrogate (U+D83D)"]},
    ),
    "no time": (
        change(LOG, createdAt="yesterday"),
        {"line 7.createdAt": ["must be an ISO 8601 time or a Unix time"]},
    ),
    "a title too short": (change(PROMPT, title="ab"), {"line 2.title": ["must have 3 to 100 characters"]}),
    "a slug": (
        change(PROMPT, slug="One"),
        {"line 2.slug": [SLUG_RULE]},
    ),
    "an id of another kind": (
        change(LOG, _id="prompt1"),
        {"line 7._id": ["must be log_ and 1 to 40 letters or digits"]},
    ),
    "a log of ours without a prompt": (
        change(LOG, promptId=None, promptVersion=None),
        {"line 7.promptId": REQUIRED, "line 7.promptVersion": REQUIRED},
    ),
    "a log of ours without an output": (change(LOG, output=""), {"line 7.output": REQUIRED}),
    "a variant of no experiment": (change(RESULT, experimentId=None), {"line 8.experimentId": REQUIRED}),
    "a label that none may be": (
        change(FIRST, labels=["x", "latest"]),
        {"line 3.labels.1": ["must match [A-Za-z][A-Za-z0-9._-]{0,63} and not be latest"]},
    ),
    "a variant twice": (
        change(EXPERIMENT, variants=GOOD[EXPERIMENT]["variants"] * 2),
        {"line 5.variants": ["must not have the key A twice"]},
    ),
    "a variant's share": (
        change(EXPERIMENT, variants=[{"key": "A", "payload": {}, "trafficPercent": 101}]),
        {"line 5.variants.0.trafficPercent": ["must be a whole number from 0 to 100"]},
    ),
    "a span's type": (
        change(TRACE, spans=[{"id": "1", "type": "x" * 65}]),
        {"line 6.spans.0.type": ["must have 1 to 64 characters"]},
    ),
    "a prompt twice": (behind(SECOND, *GOOD[PROMPT:EXPERIMENT]), {"line 5._id": ["stands in line 2 already"]}),
    "a log twice": (behind(LOG, GOOD[LOG]), {"line 8._id": ["stands in line 7 already"]}),
    "a slug twice": (
        behind(SECOND, GOOD[PROMPT] | {"_id": "prompt2"}, GOOD[FIRST] | {"promptId": "prompt2"}),
        {"line 5.slug": ["stands in line 2 already"]},
    ),
    "a label twice": (change(SECOND, labels=["new", "old"]), {"line 4.labels.1": ["stands in line 3 already"]}),
    "a prompt without versions": (
        without(FIRST, SECOND),
        {"line 2": ["must be followed by the versions of the prompt"]},
    ),
    "a version missing": (without(FIRST), {"line 3.version": ["must be 1, the next of its prompt"]}),
    "versions without their prompt": (
        without(PROMPT),
        {"line 2.promptId": ["must be the id of the prompt just before"]},
    ),
    "a version without content and messages": (change(FIRST, content=None), {"line 3.content": REQUIRED}),
    "content and messages": (
        change(FIRST, messages=MESSAGES),
        {"line 3.messages": ["must not come with content: a prompt has the one or the other"]},
    ),
    "a role": (
        change(FIRST, content=None, messages=[{"role": "robot", "content": "x"}, MESSAGES[0] | {"weight": 1}]),
        {
            "line 3.messages.0.role": ["must be one of system, developer, user, assistant, tool"],
            "line 3.messages.1.weight": [
                "cannot be in a message: it may have role, content and name, or placeholder alone"
            ],
        },
    ),
    "no message": (
        change(FIRST, content=None, messages=[]),
        {"line 3.messages": ["must have 1 to 200 entries"]},
    ),
    "a placeholder's name": (
        change(FIRST, content=None, messages=[*MESSAGES, {"placeholder": "a b"}]),
        {"line 3.messages.1.placeholder": ["must be a name of 1 to 100 characters without white space and braces"]},
    ),
    "half a character in a message": (
        raw(FIRST, json.dumps(CHAT | {"messages": [MESSAGES[0] | {"content": "\ud83d"}]}).encode()),
        {"line 3.messages.0.content": ["must not contain a lone surrogate (U+D83D)"]},
    ),
    "parameters that are no object": (change(SECOND, config=["x"]), {"line 4.config": ["must be an object"]}),
    "parameters that are too many": (
        change(SECOND, config={"a": "x" * 65_536}),
        {"line 4.config": ["must have at most 65,536 bytes as compact JSON; it has 65,544"]},
    ),
    "a type of a version": (change(FIRST, kind="text"), {"line 3.kind": ["is not a field of such a line"]}),
    "a description": (
        change(PROMPT, description="x" * 10_001),
        {"line 2.description": ["must have at most 10000 characters"]},
    ),
    "an unknown prompt": (change(LOG, promptId="prompt2"), {"line 7.promptId": UNKNOWN}),
    "an unknown version": (change(LOG, promptVersion=3), {"line 7.promptVersion": UNKNOWN}),
    "an unknown variant": (change(RESULT, variantKey="B"), {"line 8.variantKey": UNKNOWN}),
    "an unknown trace": (change(RESULT, traceId="trace2"), {"line 8.traceId": UNKNOWN}),
    "an unknown experiment": (change(TRACE, experimentId="experiment2"), {"line 6.experimentId": UNKNOWN}),
    "a variant's unknown prompt": (
        change(EXPERIMENT, variants=[{"key": "A", "payload": {}, "trafficPercent": 1, "promptId": "prompt9"}]),
        {"line 5.variants.0.promptId": UNKNOWN},
    ),
    "a parent behind its child": (
        join([*GOOD[:TRACE], GOOD[RESULT], GOOD[TRACE], GOOD[LOG], GOOD[END]]),
        {"line 6.traceId": UNKNOWN},
    ),
    "a variant's unknown version": (
        change(EXPERIMENT, variants=[{**GOOD[EXPERIMENT]["variants"][0], "promptVersion": 3}]),
        {"line 5.variants.0.promptVersion": UNKNOWN},
    ),
    "a variant's version without its prompt": (
        change(EXPERIMENT, variants=[{"key": "A", "payload": {}, "trafficPercent": 1, "promptVersion": 1}]),
        {"line 5.variants.0.promptId": REQUIRED},
    ),
    "a score in a file of version 1": (
        change(EXPORT, version=1),
        {"line 9.type": ["must not be score in a file of version 1"]},
    ),
    "a score of an unknown log": (change(SCORE, logId="log9"), {"line 9.logId": UNKNOWN}),
    "a score before its log": (
        join([*GOOD[:LOG], GOOD[SCORE], GOOD[LOG], GOOD[RESULT], GOOD[END]]),
        {"line 7.logId": UNKNOWN},
    ),
    "a score twice": (behind(SCORE, GOOD[SCORE]), {"line 10._id": ["stands in line 9 already"]}),
    "two scores of one author": (
        behind(SCORE, {**GOOD[SCORE], "_id": "score2", "value": 8, "author": {"userId": "user1", "name": "Eve"}}),
        {"line 10.logId": ["has a score of this name, annotator, author and identifier in line 9 already"]},
    ),
    "a score without most of it": (
        change(SCORE, value=None, name=None, annotator=None, logId=None),
        {f"line 9.{name}": REQUIRED for name in ("logId", "name", "value", "annotator")},
    ),
    "a score beyond its scale": (
        change(SCORE, value=11),
        {"line 9.value": ["must be a number from 0 to 10 for the name score"]},
    ),
    "a score that is a list": (
        change(SCORE, value=[1]),
        {"line 9.value": ["must be a number, true, false or a text of 1 to 64 characters"]},
    ),
    "a bad name, annotator and mark": (
        change(SCORE, name="1", annotator="cat", imported=1),
        {
            "line 9.name": ["must be a letter and up to 63 letters, digits, blanks, `_`, `.` or `-`"],
            "line 9.annotator": ["must be one of human, enduser, judge, code"],
            "line 9.imported": ["must be true or false"],
        },
    ),
    "long texts of a score": (
        change(SCORE, comment="x" * 10_001, identifier="x" * 65, author={"userId": "user1", "name": "x" * 101}),
        {
            "line 9.comment": ["must have at most 10000 characters"],
            "line 9.identifier": ["must have at most 64 characters"],
            "line 9.author.name": ["must have 1 to 100 characters"],
        },
    ),
    "an author without a name": (change(SCORE, author={"userId": "user1"}), {"line 9.author.name": REQUIRED}),
    "an author that is no account": (
        change(SCORE, author={"userId": "imported:user1", "name": "B\0"}),
        {
            "line 9.author.userId": ["must be user_ and 1 to 40 letters or digits"],
            "line 9.author.name": ["must not contain the NUL character (U+0000)"],
        },
    ),
    "an author that is a text": (change(SCORE, author="Ben"), {"line 9.author": ["must be an object"]}),
    "another number of scores": (change(END, scores=2), {"line 10.scores": ["must be 1, for so many there are"]}),
}


@only_sqlite
@pytest.mark.parametrize(("data", "details"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_refused_by_line_and_field_and_nothing_is_stored(
    ada: Person, data: bytes, details: dict[str, list[str]]
) -> None:
    answer = import_file(ada, data)
    assert (answer.status_code, answer.json.get("details")) == (400, details), answer.text
    assert all(
        f"{field} {reason}" in answer.json["message"] or reason == "is required" for field, (reason,) in details.items()
    )
    assert export(ada) == EMPTY_EXPORT


def test_the_undamaged_file_is_imported(ada: Person) -> None:
    assert counts(import_file(ada, join(GOOD)), "created") == (1, 2, 1, 1, 2)
    left = [list(json.loads(line).items()) for line in export(ada).splitlines()]
    assert left == [list(line.items()) for line in GOOD]
