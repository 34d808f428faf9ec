"""The turns of llm's logs.db, release 0.32 and later: one call of a model each, over a shared tree of messages.

A message knows its parent. A turn names the last message that the model was given (`parent_message_hash`) and the last
one that it added (`tip_message_hash`). What lies between them is the output. The input is what the turn before did not
have: the messages of user and tools above the parent, up to an answer of the model or the system prompt.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from promptcrafter import jsonio
from promptcrafter.transfer.importers import Unreadable
from promptcrafter.transfer.importers.llm_shape import PART_TYPES, Shape

_Part = dict[str, Any]
_CACHED_MESSAGES = 10_000
# Of tool calls and their results: the name in the metadata, and that in the payload
_CALL_FIELDS = (("name", "name"), ("toolCallId", "tool_call_id"), ("serverExecuted", "server_executed"))
_CACHED_FRAGMENTS = 16  # each may be a book


class Turns:
    """Reads the turns of a database whose shape is known."""

    def __init__(self, database: sqlite3.Connection, shape: Shape) -> None:
        self._database = database
        self._shape = shape
        self._columns = shape.columns["turns"]
        self._get_message = lru_cache(_CACHED_MESSAGES)(self._read_message)
        self._get_fragment = lru_cache(_CACHED_FRAGMENTS)(self._read_fragment)
        self._roots: dict[str, str] = {}
        # llm has no index by tip. `imported` has the messages that some log contains
        database.execute("CREATE TEMP TABLE tips AS SELECT tip_message_hash AS hash, thread_id, id FROM turns")
        database.execute("CREATE INDEX temp.tips_hash ON tips (hash)")
        database.execute("CREATE TEMP TABLE imported (hash PRIMARY KEY) WITHOUT ROWID")

    def each(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Yield each turn as a row of the older table `responses`, with more metadata. Raises Unreadable."""
        for row in self._database.execute(f"SELECT {', '.join(self._columns)} FROM turns ORDER BY rowid"):  # noqa: S608
            yield self._read(dict(row))

    def count_others(self) -> int:
        """Return how many of the model's messages no turn has made: those are in no log. Call after `each`."""
        query = (
            "SELECT count(*) FROM messages WHERE role = 'assistant' AND hash NOT IN (SELECT hash FROM temp.imported)"
        )
        count: int = self._database.execute(query).fetchone()[0]
        return count

    def _read(self, turn: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        location, parent = f"turns {turn['id']}", turn["parent_message_hash"]
        output = self._read_parts(self._walk(location, turn["tip_message_hash"], parent))
        given, before = self._split_input(location, parent)
        input = self._read_parts(given)
        root = self._find_root(location, parent)
        system = self._read_parts([root]) if root and self._get_message(root)[1] == "system" else []
        reply_to, history = self._find_history(location, before, turn)
        response = {
            **turn,
            "prompt": _join_text(input, "text"),
            "system": _join_text(system, "text"),
            "response": _join_text(output, "text"),
            "conversation_id": turn["thread_id"],
            "reply_to_id": reply_to,
        }
        return response, {
            "reasoning": _join_text(output, "reasoning"),
            "attachments": self._describe_attachments(input),
            "outputAttachments": self._describe_attachments(output),
            "toolCalls": [_describe_call(part) for part in output if part["type"] == "tool_call"],
            "toolResults": [self._describe_result(part) for part in input + output if part["type"] == "tool_result"],
            "otherParts": [part for part in input + output if part["type"] not in PART_TYPES],
            "history": history,
        }

    def _walk(self, location: str, tip: str | None, end: str | None) -> list[str]:
        """Return the messages from the one after `end` to `tip`. Raises Unreadable if `end` is not above `tip`."""
        hashes: list[str] = []
        seen: set[str] = set()
        while tip is not None and tip != end:
            if tip in seen:
                raise Unreadable(f"{location}: its messages form a circle.")
            seen.add(tip)
            hashes.append(tip)
            tip = self._get_parent(location, tip)
        if tip != end and hashes:
            raise Unreadable(f"{location}: its output does not follow its input.")
        self._mark(hashes)
        return hashes[::-1]

    def _split_input(self, location: str, parent: str | None) -> tuple[list[str], str | None]:
        """Return the messages that are the turn's own input, and the one before them."""
        hashes: list[str] = []
        seen: set[str] = set()
        while parent is not None and parent not in seen and self._get_role(location, parent) in ("user", "tool"):
            seen.add(parent)
            hashes.append(parent)
            parent = self._get_parent(location, parent)
        return hashes[::-1], parent

    def _find_history(
        self, location: str, before: str | None, turn: Mapping[str, Any]
    ) -> tuple[str | None, list[dict[str, Any]]]:
        """Return the id of the output that the turn continues, and the messages in between that no output is.

        A client may send a history that this file has no turns of. A conversation that an older llm began has its
        outputs in the table `responses`.
        """
        hashes: list[str] = []
        seen: set[str] = set()
        reply_to = None
        while before is not None and before not in seen and self._get_role(location, before) != "system":
            reply_to = self._find_turn(before, turn)
            if reply_to is not None:
                break
            seen.add(before)
            hashes.append(before)
            before = self._get_parent(location, before)
        self._mark(hashes)
        if hashes and (older := self._find_older_response(turn)) is not None:
            return older, []
        return reply_to, [
            {"role": self._get_role(location, hash), "parts": self._read_parts([hash])} for hash in reversed(hashes)
        ]

    def _find_turn(self, tip: str, turn: Mapping[str, Any]) -> str | None:
        """Return the id of another turn that ends with this message, rather one of the same thread."""
        query = "SELECT id FROM temp.tips WHERE hash = ? AND id != ? ORDER BY thread_id = ? DESC, id LIMIT 1"
        row = self._database.execute(query, (tip, turn["id"], turn["thread_id"])).fetchone()
        return row and str(row[0])

    def _find_older_response(self, turn: Mapping[str, Any]) -> str | None:
        if "conversation_id" not in self._shape.columns.get("responses", ()):
            return None
        query = "SELECT max(id) FROM responses WHERE conversation_id = ? AND id < ?"
        id: str | None = self._database.execute(query, (turn["thread_id"], turn["id"])).fetchone()[0]
        return id

    def _find_root(self, location: str, hash: str | None) -> str | None:
        """Return the first message of the chain that ends with this one."""
        path: list[str] = []
        seen: set[str] = set()
        while hash is not None:
            if hash in seen:
                raise Unreadable(f"{location}: its messages form a circle.")
            if hash in self._roots:
                path.append(self._roots[hash])
                break
            seen.add(hash)
            path.append(hash)
            hash = self._get_parent(location, hash)
        if not path:
            return None
        # the next turn of a conversation meets this path near its end
        if len(self._roots) > _CACHED_MESSAGES:
            self._roots.clear()
        self._roots.update(dict.fromkeys((path[0], *path[-2:]), path[-1]))
        return path[-1]

    def _get_parent(self, location: str, hash: str) -> str | None:
        return self._find_message(location, hash)[0]

    def _get_role(self, location: str, hash: str) -> str:
        return self._find_message(location, hash)[1]

    def _find_message(self, location: str, hash: str) -> tuple[str | None, str]:
        try:
            return self._get_message(hash)
        except KeyError as error:
            raise Unreadable(f"{location}: its message {hash} is not in the file.") from error

    def _read_message(self, hash: str) -> tuple[str | None, str]:
        """Return the parent and the role of a message. Raises KeyError."""
        row = self._database.execute("SELECT parent_hash, role FROM messages WHERE hash = ?", (hash,)).fetchone()
        if row is None:
            raise KeyError(hash)
        return row["parent_hash"], str(row["role"])

    def _mark(self, hashes: Sequence[str]) -> None:
        self._database.executemany("INSERT OR IGNORE INTO temp.imported VALUES (?)", ((hash,) for hash in hashes))

    def _read_parts(self, hashes: Sequence[str]) -> list[_Part]:
        """Return the parts of messages, with the content of fragments in place of references to them."""
        query = "SELECT type, text, payload FROM parts WHERE message_hash = ? ORDER BY position"
        return [self._to_part(hash, row) for hash in hashes for row in self._database.execute(query, (hash,))]

    def _to_part(self, hash: str, row: sqlite3.Row) -> _Part:
        try:
            part = jsonio.loads(row["payload"].encode()) if row["payload"] else {}
            # signatures and encrypted reasoning, which only the provider can read
            part.pop("provider_metadata", None)
            if (pieces := part.pop("text_ref", None)) is not None:
                part["text"] = "".join(
                    piece["literal"] if "literal" in piece else self._get_fragment(piece["fragment"])
                    for piece in pieces
                )
        except (jsonio.JsonError, UnicodeEncodeError, AttributeError, KeyError, TypeError) as error:
            raise Unreadable(f"messages {hash}: the payload of a part is not as llm writes it.") from error
        return {**part, "type": row["type"], **({} if row["text"] is None else {"text": row["text"]})}

    def _read_fragment(self, id: Any) -> str:
        """Return the content of a fragment. Raises KeyError."""
        row = self._database.execute("SELECT content FROM fragments WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise KeyError(id)
        return str(row["content"])

    def _describe_attachments(self, parts: Sequence[_Part]) -> list[dict[str, Any]]:
        ids = [_get_attachment_id(part.get("attachment")) for part in parts if part["type"] == "attachment"]
        return [self._describe_attachment(id) for id in ids]

    def _describe_attachment(self, id: Any) -> dict[str, Any]:
        """Return what is known of an attachment but for its content."""
        query = "SELECT id, type, path, url FROM attachments WHERE id = ?"
        row = self._database.execute(query, (id,)).fetchone() if self._shape.has("attachments") else None
        return dict(row) if row is not None else {"id": id}

    def _describe_result(self, part: _Part) -> dict[str, Any]:
        attachments = part.get("attachments")
        ids = [_get_attachment_id(item) for item in attachments] if isinstance(attachments, list) else []
        described = {name: part.get(key) for name, key in (*_CALL_FIELDS, ("output", "output"), ("error", "exception"))}
        described["attachments"] = [self._describe_attachment(id) for id in ids]
        return {name: value for name, value in described.items() if value not in (None, [])}


def _describe_call(part: _Part) -> dict[str, Any]:
    described = {name: part.get(key) for name, key in (*_CALL_FIELDS, ("arguments", "arguments"))}
    return {name: value for name, value in described.items() if value is not None}


def _get_attachment_id(reference: Any) -> str | None:
    id = reference.get("id") if isinstance(reference, dict) else None
    return id if isinstance(id, str) else None


def _join_text(parts: Sequence[_Part], type: str) -> str | None:
    """Return the text of all parts of a type, None if there is none."""
    texts = [part.get("text") for part in parts if part["type"] == type]
    return "".join(text for text in texts if isinstance(text, str)) or None
