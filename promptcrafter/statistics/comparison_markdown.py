"""The comparison of logs as Markdown. Pure functions."""

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
# HTML tags, because Markdown ignores asterisks in some places, such as between a letter and a full stop
_TAGS = {"delete": "del", "insert": "ins"}
_VISIBLE = str.maketrans({" ": "␣", "\t": "⇥", "\r": "␍"})


def write_comparison(compared: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table with a column for each log, then each output after the first with its changes marked.

    `compared` is what CompareOut dumps.
    """
    logs = compared["logs"]
    rows = [{"": name, **{log["_id"]: log.get(field) for log in logs}} for name, field in _FIELDS.items()]
    yield from write_markdown(rows, ["", *(log["_id"] for log in logs)])
    for difference in compared["differences"]:
        yield f"\n## {difference['logId']} against {difference['against']}\n\n"
        marked = "".join(_mark(change["text"], _TAGS.get(change["op"])) for change in difference["words"])
        yield "".join(f"> {line}  \n" if line else ">\n" for line in marked.split("\n"))


def _mark(text: str, tag: str | None) -> str:
    """Escape a text. With a tag, enclose each non-empty line in it, and show pure white space as visible symbols."""
    if tag is None:
        return escape_markdown(text)
    shown = text if text.strip() else text.translate(_VISIBLE).replace("\n", "↵\n")
    return "\n".join(f"<{tag}>{escape_markdown(line)}</{tag}>" if line else "" for line in shown.split("\n"))
