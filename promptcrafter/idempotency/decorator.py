"""The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header, with the semantics of Stripe's API).

A view decorated with `@idempotent` runs once for each key of a principal. Its response is stored in the transaction of
what it created, so after a crash there are both or neither. Of two concurrent requests with the same key, the second
waits for the first and replays its response. Errors are not stored: they roll back, so the client may retry.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from flask import Response, current_app, request

from promptcrafter.database.transactions import joined_transaction
from promptcrafter.idempotency import store
from promptcrafter.idempotency.models import IdempotencyRecord
from promptcrafter.problems import Invalid, Problem
from promptcrafter.workspaces.authentication import current_principal
from promptcrafter.workspaces.principal import Principal, find_role_obstacle

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"  # response header, `true` if the response is a stored one
_KEY_PATTERN = "[\x21-\x7e]{1,255}"

_View = Callable[..., Any]
_FindWorkspaces = Callable[..., Iterable[str]]


def idempotent(view: _View) -> _View:
    """Run a view once for each idempotency key, and replay its stored response to later requests with that key.

    The decorator belongs between `arguments` and `response`, so that it gets the complete response. The view raises 400
    for a malformed key, and 422 if the key was used for another request. It creates in the current workspace; for one
    that creates elsewhere there is `idempotent_in`.
    """
    return idempotent_in(_find_current)(view)


def idempotent_in(find_workspaces: _FindWorkspaces) -> Callable[[_View], _View]:
    """Return `idempotent` for a view that creates in the workspaces of what the request names by ids.

    `find_workspaces` gets the principal and the arguments of the view, and returns the ids of these workspaces: the
    current one for an unknown id. The key belongs to the first of them where the role of the caller suffices, and so
    does the stored response: it is replayed to those only who could make the request still. Where no role suffices
    nothing is looked up, since the view refuses the request.
    """

    def decorate(view: _View) -> _View:
        @wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Response:
            key = read_key()
            principal = current_principal()
            workspace_id = None if key is None else _choose_workspace(principal, find_workspaces, args, kwargs)
            response: Response
            if key is None or workspace_id is None:
                response = view(*args, **kwargs)
                return response
            scope = store.Scope(principal.user_id, principal.api_key_id, workspace_id, key)
            fingerprint = _fingerprint()
            record = store.get_record(scope)
            if record is None:
                try:
                    with joined_transaction(lambda: store.insert_key(scope, fingerprint)):
                        response = view(*args, **kwargs)
                        body, location = response.get_data(as_text=True), response.headers.get("Location")
                        store.store_response(scope, response.status_code, body, location)
                    return response
                except store.AlreadyProcessed:
                    record = store.get_record(scope)
            return _replay(record, fingerprint)

        wrapper.is_idempotent = True  # type: ignore[attr-defined]
        return wrapper

    return decorate


def read_key() -> str | None:
    """Return the key of the request, None if it has none. Raises 400 for a malformed one."""
    key = request.headers.get(HEADER)
    if key is not None and not re.fullmatch(_KEY_PATTERN, key):
        raise Invalid({HEADER: ["must have 1 to 255 visible ASCII characters"]}, "invalid_idempotency_key")
    return key


def _find_current(principal: Principal, *args: Any, **kwargs: Any) -> list[str]:
    return [principal.current_id]


def _choose_workspace(
    principal: Principal, find_workspaces: _FindWorkspaces, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> str | None:
    """Return the id of the first workspace where the caller may do what the route requires, None if there is none."""
    # what is in no workspace of the caller's is refused by the view, so that with one of them no query is necessary
    has_one_workspace = len(principal.memberships) == 1
    workspace_ids = [principal.current_id] if has_one_workspace else find_workspaces(principal, *args, **kwargs)
    allowed = (
        each for each in workspace_ids if each in principal.memberships and find_role_obstacle(principal, each) is None
    )
    return next(allowed, None)


def _replay(record: IdempotencyRecord | None, fingerprint: str) -> Response:
    """Return the stored response. Raises 422 unless it belongs to a request with this fingerprint."""
    if record is None or record.fingerprint != fingerprint:
        raise Problem(422, f"This {HEADER} was used for another request.", "idempotency_key_reused")
    response = current_app.response_class(record.body, record.status, mimetype="application/json")
    response.headers[REPLAYED] = "true"
    if record.location:
        response.headers["Location"] = record.location
    return response


def _fingerprint() -> str:
    """Return a digest of the request's method, URL, media type and body, in hexadecimal.

    A key that comes with another digest was reused by mistake.
    """
    digest = hashlib.sha256()
    for part in (request.method, request.full_path, request.mimetype):
        digest.update(f"{part}\n".encode())
    digest.update(request.get_data())
    return digest.hexdigest()
