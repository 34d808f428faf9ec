"""The call that logs an output, as pages show it to copy: with all that a reviewer needs to know about the output."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from flask import request

from promptcrafter.prompts.render import find_variables, find_variables_of_messages

_VARIABLES_MAX = 8  # that the call shows


class _Version(Protocol):
    """A version of a prompt, with its content."""

    prompt_id: str
    number: int
    content: str
    messages: Any
    model: str


def find_names(version: _Version) -> list[str]:
    """Return the names of the variables and placeholders of a version."""
    if version.messages is None:
        return find_variables(version.content)
    return find_variables_of_messages(version.messages)


def write_log_call(version: _Version | None, key: str = "$KEY") -> str:
    """Return the command that logs an output of a version, or of a prompt still to be written, with an API key.

    It has the number of the version, because without it the output would belong to the latest one; and the values of
    the variables, or the input where there are none, because without them nobody could see what was asked.
    """
    names = find_names(version)[:_VARIABLES_MAX] if version is not None else ()
    lines: Sequence[Mapping[str, Any]] = (
        {
            "promptId": "prompt_…" if version is None else version.prompt_id,
            "promptVersion": 1 if version is None else version.number,
        },
        {"variables": dict.fromkeys(names, "…")} if names else {"input": "What the model was asked"},
        {"output": "What the model answered", "modelUsed": "gpt-4o" if version is None else version.model},
    )
    body = ",\n       ".join(json.dumps(line, ensure_ascii=False)[1:-1] for line in lines)
    quoted = body.replace("'", r"'\''")
    parts = (
        f"curl {request.url_root}logs",
        f'-H "x-api-key: {key}"',
        '-H "content-type: application/json"',
        f"-d '{{{quoted}}}'",
    )
    return " \\\n  ".join(parts)
