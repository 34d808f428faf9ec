"""Idempotency keys and their responses in the database. Call the writing functions inside `transactions.writing()`."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, delete, select, tuple_

from promptcrafter import clock
from promptcrafter.database.errors import translating
from promptcrafter.database.session import session
from promptcrafter.idempotency.models import IdempotencyRecord

RETENTION = timedelta(hours=24)
_EXPIRED_PER_INSERT = 100  # deleted with each new key, so that expired keys cannot accumulate
_COLUMNS = (
    IdempotencyRecord.user_id,
    IdempotencyRecord.api_key_id,
    IdempotencyRecord.workspace_id,
    IdempotencyRecord.key,
)
ANY_CREDENTIAL = "*"  # of rows from before the credential was stored


@dataclass(frozen=True)
class Scope:
    """A key, and whose it is: equal keys of other credentials or in other workspaces are other ones."""

    user_id: str
    api_key_id: str  # "" for a token
    workspace_id: str  # where the request creates something
    key: str


class AlreadyProcessed(Exception):
    """A concurrent request with the same key has been processed, and its response is stored."""


def get_record(scope: Scope) -> IdempotencyRecord | None:
    """Return the record of a key, None if there is none or it has expired."""
    current = select(IdempotencyRecord).where(
        _is_of(scope),
        IdempotencyRecord.created_at > clock.now() - RETENTION,
    )
    return session.scalar(current)


def insert_key(scope: Scope, fingerprint: str) -> None:
    """Insert the row of a key, still without a response, and delete some expired rows.

    A concurrent request with the same key blocks until this transaction ends. Raises AlreadyProcessed if the key has a
    response by then.
    """
    expired = IdempotencyRecord.created_at <= clock.now() - RETENTION
    session.execute(delete(IdempotencyRecord).where(_is_of(scope), expired))
    expired_keys = select(*_COLUMNS).where(expired).limit(_EXPIRED_PER_INSERT).with_for_update(skip_locked=True)
    session.execute(
        delete(IdempotencyRecord)
        .where(tuple_(*_COLUMNS).in_(expired_keys))
        .execution_options(synchronize_session=False)
    )
    record = IdempotencyRecord(
        user_id=scope.user_id,
        api_key_id=scope.api_key_id,
        workspace_id=scope.workspace_id,
        key=scope.key,
        fingerprint=fingerprint,
        status=0,
        body="",
        created_at=clock.now(),
    )
    session.add(record)
    with translating({"pk_idempotency_keys": AlreadyProcessed}):
        session.flush()


def store_response(scope: Scope, status: int, body: str, location: str | None) -> None:
    """Store the response in the row of the key that this transaction has inserted."""
    record = session.get_one(IdempotencyRecord, (scope.user_id, scope.api_key_id, scope.workspace_id, scope.key))
    record.status, record.body, record.location = status, body, location
    session.flush()


def _is_of(scope: Scope) -> ColumnElement[bool]:
    """Return the condition that a row is that of a key."""
    return and_(
        IdempotencyRecord.user_id == scope.user_id,
        IdempotencyRecord.api_key_id.in_([scope.api_key_id, ANY_CREDENTIAL]),
        IdempotencyRecord.workspace_id == scope.workspace_id,
        IdempotencyRecord.key == scope.key,
    )
