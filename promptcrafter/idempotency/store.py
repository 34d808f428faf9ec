"""Idempotency keys and their responses in the database. Call the writing functions inside `transactions.writing()`."""

from datetime import timedelta

from sqlalchemy import ColumnElement, and_, delete, select, tuple_

from promptcrafter import clock
from promptcrafter.database.errors import translating
from promptcrafter.database.session import session
from promptcrafter.idempotency.models import IdempotencyRecord
from promptcrafter.workspaces.principal import Principal

RETENTION = timedelta(hours=24)
_EXPIRED_PER_INSERT = 100  # deleted with each new key, so that expired keys cannot accumulate
_COLUMNS = (
    IdempotencyRecord.user_id,
    IdempotencyRecord.api_key_id,
    IdempotencyRecord.workspace_id,
    IdempotencyRecord.key,
)
ANY_CREDENTIAL = "*"  # of rows from before the credential was stored


class AlreadyProcessed(Exception):
    """A concurrent request with the same key has been processed, and its response is stored."""


def get_record(principal: Principal, key: str) -> IdempotencyRecord | None:
    """Return the record of the principal's key, None if there is none or it has expired."""
    current = select(IdempotencyRecord).where(
        _is_of(principal, key),
        IdempotencyRecord.created_at > clock.now() - RETENTION,
    )
    return session.scalar(current)


def insert_key(principal: Principal, key: str, fingerprint: str) -> None:
    """Insert the row of a key, still without a response, and delete some expired rows.

    A concurrent request with the same key blocks until this transaction ends. Raises AlreadyProcessed if the key has a
    response by then.
    """
    expired = IdempotencyRecord.created_at <= clock.now() - RETENTION
    session.execute(delete(IdempotencyRecord).where(_is_of(principal, key), expired))
    expired_keys = select(*_COLUMNS).where(expired).limit(_EXPIRED_PER_INSERT).with_for_update(skip_locked=True)
    session.execute(
        delete(IdempotencyRecord)
        .where(tuple_(*_COLUMNS).in_(expired_keys))
        .execution_options(synchronize_session=False)
    )
    record = IdempotencyRecord(
        user_id=principal.user_id,
        api_key_id=principal.api_key_id,
        workspace_id=principal.current_id,
        key=key,
        fingerprint=fingerprint,
        status=0,
        body="",
        created_at=clock.now(),
    )
    session.add(record)
    with translating({"pk_idempotency_keys": AlreadyProcessed}):
        session.flush()


def store_response(principal: Principal, key: str, status: int, body: str, location: str | None) -> None:
    """Store the response in the row of the key that this transaction has inserted."""
    record = session.get_one(IdempotencyRecord, (principal.user_id, principal.api_key_id, principal.current_id, key))
    record.status, record.body, record.location = status, body, location
    session.flush()


def _is_of(principal: Principal, key: str) -> ColumnElement[bool]:
    """Return the condition that a row is that of a key, as this principal sends it."""
    return and_(
        IdempotencyRecord.user_id == principal.user_id,
        IdempotencyRecord.api_key_id.in_([principal.api_key_id, ANY_CREDENTIAL]),
        IdempotencyRecord.workspace_id == principal.current_id,
        IdempotencyRecord.key == key,
    )
