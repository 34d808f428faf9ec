"""The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header, as Stripe's API knows it).

A view that is `@idempotent` runs once for each key of a caller. Its answer is kept in the transaction of what it
created: after a crash there are both or neither, and of two equal requests that race, one waits for the other. Errors
are not kept: nothing was created, so trying again is right.
"""

import hashlib
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, current_app, request

from promptcrafter.auth.authentication import current_principal
from promptcrafter.database.transactions import joined_transaction
from promptcrafter.idempotency import store
from promptcrafter.idempotency.models import IdempotencyRecord
from promptcrafter.problems import Invalid, Problem

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_KEY = "[\x21-\x7e]{1,255}"

_View = Callable[..., Any]


def idempotent(view: _View) -> _View:
    """Let a view that creates be retried; it stands between `arguments` and `response`, whose answer it keeps."""

    @wraps(view)
    def answer(*args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        made: Response
        if key is None:
            made = view(*args, **kwargs)
            return made
        if not re.fullmatch(_KEY, key):
            raise Invalid({HEADER: ["must have 1 to 255 visible ASCII characters"]}, "invalid_idempotency_key")
        principal, fingerprint = current_principal(), _fingerprint()
        known = store.get_answer(principal, key)
        if known is None:
            try:
                with joined_transaction(lambda: store.insert_key(principal, key, fingerprint)):
                    made = view(*args, **kwargs)
                    store.store_answer(
                        principal, key, made.status_code, made.get_data(as_text=True), made.headers.get("Location")
                    )
                return made
            except store.AlreadyAnswered:
                known = store.get_answer(principal, key)
        return _replay(known, fingerprint)

    answer.is_idempotent = True  # type: ignore[attr-defined]
    return answer


def _replay(known: IdempotencyRecord | None, fingerprint: str) -> Response:
    if known is None or known.fingerprint != fingerprint:
        raise Problem(422, f"This {HEADER} was used for another request.", "idempotency_key_reused")
    response = current_app.response_class(known.body, known.status, mimetype="application/json")
    response.headers[REPLAYED] = "true"
    if known.location:
        response.headers["Location"] = known.location
    return response


def _fingerprint() -> str:
    """Return a digest of what is asked: another route or body under the same key is a mistake of the client's."""
    asked = hashlib.sha256()
    for part in (request.method, request.full_path, request.mimetype):
        asked.update(f"{part}\n".encode())
    asked.update(request.get_data())
    return asked.hexdigest()
