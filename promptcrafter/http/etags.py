"""Conditional requests: entity tags and `If-Match` (RFC 9110, section 13)."""

import hashlib
from typing import Any

from flask import request

from promptcrafter import jsonio
from promptcrafter.problems import Problem

YAML_TAG_END = "-yaml"  # of the tag of a resource's form in YAML, which is that of its JSON with this at the end


def etag_of(state: Any) -> str:
    """Return the strong entity tag of what a resource's tag covers, as a JSON value; without quotes."""
    return hashlib.sha256(jsonio.dumps(state).encode()).hexdigest()[:32]


def refuse_lost_update(state: Any) -> None:
    """Raise 412 if the request has an `If-Match` that does not match the resource's current state."""
    tag = etag_of(state) if request.if_match else ""
    if tag and not any(request.if_match.contains(tag + end) for end in ("", YAML_TAG_END)):
        raise Problem(412, "It has changed since: read it again and retry.", "precondition_failed")
