"""Idempotency keys and their responses in the database. Call the writing functions inside `transactions.writing()`."""

from datetime import timedelta

from sqlalchemy import delete, select, tuple_

from promptcrafter import clock
from promptcrafter.database.errors import translating
from promptcrafter.database.session import session
from promptcrafter.idempotency.models import IdempotencyRecord
from promptcrafter.workspaces.access import owned_by
from promptcrafter.workspaces.principal import Principal

RETENTION = timedelta(hours=24)
_EXPIRED_PER_INSERT = 100  # deleted with each new key, so that expired keys cannot accumulate
_PRIMARY_KEY = tuple_(IdempotencyRecord.owner_id, IdempotencyRecord.key)


class AlreadyProcessed(Exception):
    """A concurrent request with the same key has been processed, and its response is stored."""


def get_record(principal: Principal, key: str) -> IdempotencyRecord | None:
    """Return the record of the principal's key, None if there is none or it has expired."""
    current = select(IdempotencyRecord).where(
        owned_by(principal, IdempotencyRecord),
        IdempotencyRecord.key == key,
        IdempotencyRecord.created_at > clock.now() - RETENTION,
    )
    return session.scalar(current)


def insert_key(principal: Principal, key: str, fingerprint: str) -> None:
    """Insert the row of a key, still without a response, and delete some expired rows.

    A concurrent request with the same key blocks until this transaction ends. Raises AlreadyProcessed if the key has a
    response by then.
    """
    expired = IdempotencyRecord.created_at <= clock.now() - RETENTION
    session.execute(
        delete(IdempotencyRecord).where(owned_by(principal, IdempotencyRecord), IdempotencyRecord.key == key, expired)
    )
    expired_keys = (
        select(IdempotencyRecord.owner_id, IdempotencyRecord.key)
        .where(expired)
        .limit(_EXPIRED_PER_INSERT)
        .with_for_update(skip_locked=True)
    )
    session.execute(
        delete(IdempotencyRecord).where(_PRIMARY_KEY.in_(expired_keys)).execution_options(synchronize_session=False)
    )
    record = IdempotencyRecord(
        owner_id=principal.user_id, key=key, fingerprint=fingerprint, status=0, body="", created_at=clock.now()
    )
    session.add(record)
    with translating({"pk_idempotency_keys": AlreadyProcessed}):
        session.flush()


def store_response(principal: Principal, key: str, status: int, body: str, location: str | None) -> None:
    """Store the response in the row of the key that this transaction has inserted."""
    record = session.get_one(IdempotencyRecord, (principal.user_id, key))
    record.status, record.body, record.location = status, body, location
    session.flush()
