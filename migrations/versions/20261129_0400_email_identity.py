"""An account has one e-mail address, whatever its Unicode normal form: the identity of the address is its key in NFC.

Of accounts whose addresses differ in their normal form only, the one whose key is in NFC gets the identity, or else the
oldest; the others keep none, and are found by exactly their own spelling. No row changes otherwise, so that the release
before goes on finding every account.
"""

import unicodedata
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "4d81b6e0c93f"
down_revision = "1d7b90e4c2a6"
branch_labels = None
depends_on = None

_USERS = sa.table("users", sa.column("seq"), sa.column("email_key"), sa.column("email_identity"))


def upgrade() -> None:
    op.add_column("users", sa.Column("email_identity", sa.Text))
    op.execute(_USERS.update().values(email_identity=_USERS.c.email_key))
    identities = {seq: _normalize(key) for seq, key in _each_key() if _normalize(key) != key}
    if identities:
        wanted = set(identities.values())
        taken = {key for _, key in _each_key() if key in wanted}
        changes = []
        for seq, identity in identities.items():
            changes.append({"row": seq, "identity": None if identity in taken else identity})
            taken.add(identity)
        change = _USERS.update().where(_USERS.c.seq == sa.bindparam("row"))
        op.get_bind().execute(change.values(email_identity=sa.bindparam("identity")), changes)
    op.create_index("ix_users_email_identity", "users", ["email_identity"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_users_email_identity", "users")
    op.drop_column("users", "email_identity")


def _each_key() -> Iterator[tuple[int, str]]:
    """Yield the sequence number and the key of each account, oldest first."""
    for row in op.get_bind().execute(sa.select(_USERS.c.seq, _USERS.c.email_key).order_by(_USERS.c.seq)):
        yield row.seq, row.email_key


def _normalize(key: str) -> str:
    return unicodedata.normalize("NFC", key)
