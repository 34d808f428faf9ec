"""Idempotency keys and their answers in the database. The writing functions belong in `transactions.writing()`."""

from datetime import timedelta

from sqlalchemy import delete, select, tuple_
from sqlalchemy.exc import IntegrityError

from promptcrafter import clock
from promptcrafter.database.errors import violates
from promptcrafter.database.session import session
from promptcrafter.idempotency.models import IdempotencyRecord

RETENTION = timedelta(hours=24)
_EXPIRED_PER_INSERT = 100  # deleted with each new key, so that expired keys cannot accumulate
_PRIMARY_KEY = tuple_(IdempotencyRecord.owner_id, IdempotencyRecord.key)


class AlreadyAnswered(Exception):
    """A concurrent request with the same key has been answered."""


def get_answer(owner_id: str, key: str) -> IdempotencyRecord | None:
    """Return the record of the owner's key, None if there is none or it has expired."""
    current = select(IdempotencyRecord).where(
        IdempotencyRecord.owner_id == owner_id,
        IdempotencyRecord.key == key,
        IdempotencyRecord.created_at > clock.now() - RETENTION,
    )
    return session.scalar(current)


def insert_key(owner_id: str, key: str, fingerprint: str) -> None:
    """Insert the row of a key, still without an answer, and delete some expired rows.

    A concurrent request with the same key blocks until this transaction ends. Raises AlreadyAnswered if the key has an
    answer by then.
    """
    expired = IdempotencyRecord.created_at <= clock.now() - RETENTION
    session.execute(
        delete(IdempotencyRecord).where(IdempotencyRecord.owner_id == owner_id, IdempotencyRecord.key == key, expired)
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
        owner_id=owner_id, key=key, fingerprint=fingerprint, status=0, body="", created_at=clock.now()
    )
    session.add(record)
    try:
        session.flush()
    except IntegrityError as error:
        if violates(error, "fk_idempotency_keys_owner_id"):
            raise
        raise AlreadyAnswered from error


def store_answer(owner_id: str, key: str, status: int, body: str, location: str | None) -> None:
    """Store the answer in the row of the key that this transaction has inserted."""
    record = session.get_one(IdempotencyRecord, (owner_id, key))
    record.status, record.body, record.location = status, body, location
    session.flush()
