"""A comparison of logs for people to read, in Markdown. Pure functions."""

from collections.abc import Iterator, Mapping
from typing import Any

from promptcrafter.http.formats import escape_markdown, write_markdown

_FIELDS = {
    "model": "modelUsed",
    "version": "promptVersion",
    "score": "score",
    "latency (ms)": "latencyMs",
    "cost ($)": "cost",
    "notes": "notes",
}
_MARKS = {"delete": "del", "insert": "ins"}  # as tags: asterisks mean nothing between a letter and a full stop
_VISIBLE = str.maketrans({" ": "␣", "\t": "⇥", "\r": "␍"})


def report(compared: Mapping[str, Any]) -> Iterator[str]:
    """Write the logs as the columns of a table, and below it each output with its changes marked."""
    logs = compared["logs"]
    rows = [{"": name, **{log["_id"]: log.get(field) for log in logs}} for name, field in _FIELDS.items()]
    yield from write_markdown(rows, ["", *(log["_id"] for log in logs)])
    for difference in compared["differences"]:
        yield f"\n## {difference['logId']} against {difference['against']}\n\n"
        marked = "".join(_mark(change["text"], _MARKS.get(change["op"])) for change in difference["words"])
        yield "".join(f"> {line}  \n" if line else ">\n" for line in marked.split("\n"))


def _mark(text: str, tag: str | None) -> str:
    """Escape a text and put a tag around what each of its lines holds; white space alone is made visible."""
    if tag is None:
        return escape_markdown(text)
    shown = text if text.strip() else text.translate(_VISIBLE).replace("\n", "↵\n")
    return "\n".join(f"<{tag}>{escape_markdown(line)}</{tag}>" if line else "" for line in shown.split("\n"))
