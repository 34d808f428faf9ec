"""A comparison of logs for people to read, in Markdown. Pure functions."""

from collections.abc import Iterator, Mapping
from typing import Any

from promptcrafter.formats import escape_markdown, write_markdown

_FIELDS = {
    "model": "modelUsed",
    "version": "promptVersion",
    "score": "score",
    "latency (ms)": "latencyMs",
    "cost ($)": "cost",
    "notes": "notes",
}
_MARKS = {"equal": "", "delete": "~~", "insert": "**"}


def report(compared: Mapping[str, Any]) -> Iterator[str]:
    """Write the logs as the columns of a table, and below it each output with its changes marked."""
    logs = compared["logs"]
    rows = [{"": name, **{log["_id"]: log.get(field) for log in logs}} for name, field in _FIELDS.items()]
    yield from write_markdown(rows, ["", *(log["_id"] for log in logs)])
    for difference in compared["differences"]:
        yield f"\n## {difference['logId']} against {difference['against']}\n\n"
        marked = "".join(_mark(change["text"], _MARKS[change["op"]]) for change in difference["words"])
        yield "".join(f"> {line}  \n" if line else ">\n" for line in marked.split("\n"))


def _mark(text: str, mark: str) -> str:
    """Escape a text and put marks around what each of its lines holds; beside white space they would mean nothing."""
    return "\n".join(_mark_line(line, mark) for line in text.split("\n"))


def _mark_line(line: str, mark: str) -> str:
    inner = line.strip()
    if not inner:
        return line
    start = line.index(inner)
    return f"{line[:start]}{mark}{escape_markdown(inner)}{mark}{line[start + len(inner) :]}"
