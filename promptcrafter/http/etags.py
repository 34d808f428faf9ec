"""Conditional requests: entity tags and `If-Match` (RFC 9110, section 13)."""

import hashlib
from typing import Any

from flask import request

from promptcrafter import jsonio
from promptcrafter.problems import Problem


def etag_of(state: Any) -> str:
    """Return the strong entity tag of what a resource's tag covers, as a JSON value; without quotes."""
    return hashlib.sha256(jsonio.dumps(state).encode()).hexdigest()[:32]


def refuse_lost_update(state: Any) -> None:
    """Raise 412 if the request has an `If-Match` that does not match the resource's current state."""
    if request.if_match and not request.if_match.contains(etag_of(state)):
        raise Problem(412, "It has changed since: read it again and retry.", "precondition_failed")
