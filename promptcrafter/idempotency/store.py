"""Kept answers in the database. What writes here belongs inside `transactions.writing()`."""

from datetime import timedelta

from sqlalchemy import delete, select, tuple_

from promptcrafter import clock
from promptcrafter.database.errors import translating
from promptcrafter.database.session import session
from promptcrafter.idempotency.models import IdempotencyRecord

KEPT = timedelta(hours=24)
_EXPIRED_AT_ONCE = 100  # each new key takes as many old ones along, so that they never pile up
_PLACE = tuple_(IdempotencyRecord.owner_id, IdempotencyRecord.key)


class AlreadyAnswered(Exception):
    """An equal key has been answered meanwhile."""


def get_answer(owner_id: str, key: str) -> IdempotencyRecord | None:
    """Return what was answered under the owner's key within the time that answers are kept."""
    known = select(IdempotencyRecord).where(
        IdempotencyRecord.owner_id == owner_id,
        IdempotencyRecord.key == key,
        IdempotencyRecord.created_at > clock.now() - KEPT,
    )
    return session.scalar(known)


def claim(owner_id: str, key: str, fingerprint: str) -> None:
    """Take the key for this transaction; whoever else wants it waits for its end. Raises AlreadyAnswered."""
    expired = IdempotencyRecord.created_at <= clock.now() - KEPT
    session.execute(
        delete(IdempotencyRecord).where(IdempotencyRecord.owner_id == owner_id, IdempotencyRecord.key == key, expired)
    )
    some = (
        select(IdempotencyRecord.owner_id, IdempotencyRecord.key)
        .where(expired)
        .limit(_EXPIRED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    session.execute(delete(IdempotencyRecord).where(_PLACE.in_(some)).execution_options(synchronize_session=False))
    answer = IdempotencyRecord(
        owner_id=owner_id, key=key, fingerprint=fingerprint, status=0, body="", created_at=clock.now()
    )
    session.add(answer)
    with translating({"pk_idempotency_keys": AlreadyAnswered}):
        session.flush()


def keep(owner_id: str, key: str, status: int, body: str, location: str | None) -> None:
    """Keep the answer under the key that this transaction has claimed."""
    answer = session.get_one(IdempotencyRecord, (owner_id, key))
    answer.status, answer.body, answer.location = status, body, location
    session.flush()
