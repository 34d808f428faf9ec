"""Entries of the audit trail name the account that acted, also where it acted by an API key.

Until now an entry by a key has the id of the key alone. Entries get the account where it is known: keys that have been
revoked are gone, and their entries have none. The release before does not read the column and stores NULL in it, which
is read as for those. The step back loses the accounts of keys and nothing else.
"""

import sqlalchemy as sa
from alembic import op

revision = "a6f3c8d15e29"
down_revision = "7b2d91f4c6e0"
branch_labels = None
depends_on = None
previous_release_may_write = True

_KEYS = sa.table("api_keys", sa.column("id"), sa.column("user_id"))
_ENTRIES = sa.table("audit_entries", *map(sa.column, ("actor_kind", "actor_id", "actor_user_id")))


def upgrade() -> None:
    op.add_column("audit_entries", sa.Column("actor_user_id", sa.String(64)))
    of_key = sa.select(_KEYS.c.user_id).where(_KEYS.c.id == _ENTRIES.c.actor_id).scalar_subquery()
    account = sa.case((_ENTRIES.c.actor_kind == "user", _ENTRIES.c.actor_id), else_=of_key)
    op.execute(sa.update(_ENTRIES).where(_ENTRIES.c.actor_kind.in_(("user", "key"))).values(actor_user_id=account))


def downgrade() -> None:
    op.execute("ALTER TABLE audit_entries DROP COLUMN actor_user_id")
