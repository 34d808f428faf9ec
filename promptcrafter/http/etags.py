"""Conditional requests: entity tags, `If-None-Match` and `If-Match` (RFC 9110, section 13)."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from flask import Response, request

from promptcrafter.problems import Invalid, Problem
from promptcrafter.version import VERSION

# RFC 9110, section 8.8.3, or one that has lost both quotes. None of ours has a comma inside
_TAG = re.compile(r'(?:W/)?"[^"\s,]*"|[^"\s,*]+')
YAML_TAG_END = "-yaml"  # of the tag of a resource's form in YAML, which is that of its JSON with this at the end


def etag_of(row: Sequence[Any]) -> str:
    """Return the strong entity tag of what this release makes of a row of texts, numbers and times; without quotes."""
    return hashlib.sha256(repr((VERSION, *row)).encode()).hexdigest()[:32]


def refuse_lost_update(read_tag: Callable[[], str]) -> None:
    """Raise 412 if the request has an `If-Match` without the tag of the resource's current state, in any form.

    Raises 400 if it cannot be read: ignoring it would lose the update that it is to prevent. A tag without quotes can.
    """
    sent = request.headers.get("If-Match")
    if sent is None:
        return
    if sent.strip() != "*" and not all(_TAG.fullmatch(tag.strip()) for tag in sent.split(",")):
        raise Invalid({"If-Match": ["must be an ETag as a response has it, in double quotes"]})
    tag = read_tag()
    if not any(request.if_match.contains(tag + end) for end in ("", YAML_TAG_END)):
        raise Problem(412, "It has changed since: read it again and retry.", "precondition_failed")


def revalidated(tag: str, respond: Callable[[], Response]) -> Response:
    """Return a response with this entity tag: 304 if a GET or HEAD request has it in `If-None-Match`.

    Otherwise `respond` makes the response.
    """
    is_unchanged = request.method in ("GET", "HEAD") and request.if_none_match.contains_weak(tag)
    response = Response(status=304) if is_unchanged else respond()
    response.headers["Cache-Control"] = "private, no-cache"
    response.set_etag(tag)
    return response
