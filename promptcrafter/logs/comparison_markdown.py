"""The comparison of logs as Markdown. Pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from promptcrafter.http.formats import (
    escape_markdown,
    escape_markdown_start,
    keep_blank_at_end,
    split_lines,
    write_markdown,
)

_FIELDS = {
    "model": "modelUsed",
    "version": "promptVersion",
    "score": "score",
    "latency (ms)": "latencyMs",
    "cost ($)": "cost",
    "notes": "notes",
}
_CHARACTERS_MAX, _LINES_MAX = 100_000, 10_000  # of each difference
_CUT = "\nThe rest of this difference is not shown here, but in the JSON of the comparison.\n"
# HTML tags, because Markdown ignores asterisks in some places, such as between a letter and a full stop
_TAGS = {"delete": "del", "insert": "ins"}
_VISIBLE = {" ": "␣", "\t": "⇥", "\r": "␍", "\n": "↵\n"}

_Segment = tuple[str, str]  # the operation and a text without a line break


def write_comparison(compared: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table with a column for each log, then each output after the first with its changes marked.

    `compared` is what CompareOut dumps. A long difference is cut, and ends with a sentence that says so.
    """
    logs = compared["logs"]
    rows = [{"": name, **{log["_id"]: log.get(field) for log in logs}} for name, field in _FIELDS.items()]
    yield from write_markdown(rows, ["", *(log["_id"] for log in logs)])
    for difference in compared["differences"]:
        yield f"\n## {difference['logId']} against {difference['against']}\n\n"
        lines = _split(_cut(difference["words"]))
        yield from map(_write_line, islice(lines, _LINES_MAX))
        characters = sum(len(change["text"]) for change in difference["words"])
        if characters > _CHARACTERS_MAX or next(lines, None) is not None:
            yield _CUT


def _cut(changes: Sequence[Mapping[str, str]]) -> Iterator[_Segment]:
    """Yield operation and text of changes, up to the maximum of characters."""
    remaining = _CHARACTERS_MAX
    for change in changes:
        if remaining <= 0:
            return
        yield change["op"], change["text"][:remaining]
        remaining -= len(change["text"])


def _split(changes: Iterator[_Segment]) -> Iterator[list[_Segment]]:
    """Yield the segments of each line. In what was changed, pure white space becomes visible symbols."""
    line: list[_Segment] = []
    for op, text in changes:
        if op in _TAGS and not text.strip():
            for blank, symbol in _VISIBLE.items():
                text = text.replace(blank, symbol)
        first, *others = split_lines(text)
        line.append((op, first))
        for segment in others:
            yield line
            line = [(op, segment)]
    yield line


def _write_line(segments: Sequence[_Segment]) -> str:
    """Return a line of a quotation that ends with a hard line break."""
    present = [(op, text) for op, text in segments if text]
    written = [_mark(op, text) if op in _TAGS else escape_markdown(text) for op, text in present]
    if not written:
        return ">\n"
    if present[0][0] not in _TAGS:
        written[0] = escape_markdown_start(present[0][1])
    if present[-1][0] not in _TAGS:
        written[-1] = keep_blank_at_end(written[-1])
    return f"> {''.join(written)}  \n"


def _mark(op: str, text: str) -> str:
    return f"<{_TAGS[op]}>{escape_markdown(text)}</{_TAGS[op]}>"
