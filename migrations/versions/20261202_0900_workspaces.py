"""Workspaces: each account gets a personal one, to which all belongs that has belonged to the account.

The columns `owner_id` become `author_id`, without ON DELETE, and each row has a `workspace_id`. What a row refers to
lives in its own workspace, which foreign keys of both columns hold. The release before reads and writes `owner_id`, so
it fails on this schema: the service must be stopped meanwhile.

SQLite changes no constraint of a table, so tables are copied, and PostgreSQL rewrites them. All is one transaction: a
process that is killed leaves the schema before. SQLite's file, its log and the copy need three times the space of the
file at most, which is checked first.

The step back gives what a workspace has to its oldest owner; a slug that this owner has already gets a number. Keys
that were bound to a workspace or to scopes are deleted, since they could do more afterwards, and deleted accounts are
disabled ones.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "5e0c83a1d7f6"
down_revision = "2f96d0a8b4e3"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True).with_variant(sa.String(24), "sqlite")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_ROWS_AT_ONCE = 20_000
_SHOWN_FROM = 50_000  # rows of a table; copying fewer takes a second or two
_SHOWN_PER_CENT = 10
_SMALLEST_ROWID = -(2**63)
_SPACE_FACTOR = 3
_LARGEST_INDEX = 4  # the largest index takes less than a quarter of the file
_TEMPORARY_FOLDERS = ("/var/tmp", "/usr/tmp", "/tmp")  # noqa: S108 - SQLite has these
_CACHE_KIB = 64 * 1024  # of the connection that migrates, and for sorting an index; more goes to the disk
_PERSONAL = "'workspace' || substr({}, 5)"  # the personal workspace of user_X is workspace_X
_SLUG_MAX = 120  # characters
_ANY_CREDENTIAL = "*"  # which token or key has sent an Idempotency-Key was not stored until now

# By table: the columns of the indices that begin with the owner, later with the workspace
_INDICES = {
    "prompts": ("created_at, seq", "model, created_at, seq"),
    "experiments": ("created_at, seq",),
    "traces": ("created_at, seq",),
    "logs": ("created_at, seq", "model_used, created_at, seq", "rank, created_at, seq"),
}
_REFERRED_TO = ("prompts", "experiments", "traces")
_WITH_SLUGS = ("prompts", "experiments")
# Foreign keys that get the workspace as their first column, with their actions before and after
_REFERENCES = (
    ("experiment_variants", "experiment_id", "experiments", " ON DELETE CASCADE", " ON DELETE CASCADE"),
    ("experiment_variants", "prompt_id", "prompts", " ON DELETE SET NULL", ""),
    ("traces", "experiment_id", "experiments", " ON DELETE CASCADE", " ON DELETE CASCADE"),
    ("logs", "prompt_id", "prompts", " ON DELETE CASCADE", " ON DELETE CASCADE"),
    ("logs", "trace_id", "traces", " ON DELETE CASCADE", " ON DELETE CASCADE"),
    ("logs", "experiment_id", "experiments", " ON DELETE CASCADE", " ON DELETE CASCADE"),
)
_KEY_OF_WORKSPACE = (
    "CONSTRAINT fk_api_keys_workspace_id FOREIGN KEY(workspace_id) REFERENCES workspaces (id) ON DELETE CASCADE"
)
_KEYS_OF_PARTS = {
    "fk_logs_prompt_id_prompt_version": "(prompt_id, prompt_version) REFERENCES prompt_versions (prompt_id, number) "
    "ON DELETE CASCADE",
    "fk_logs_experiment_id_variant_key": "(experiment_id, variant_key) "
    'REFERENCES experiment_variants (experiment_id, "key")',
}
# In this order each table is copied after those to which it refers
_CHANGED = ("api_keys", "prompts", "prompt_versions", "experiments", "experiment_variants", "traces", "logs")


def upgrade() -> None:
    if _is_sqlite():
        _refuse_small_disk()
        _prepare_sqlite()
    _create_tables()
    _add_personal_workspaces()
    op.add_column("users", sa.Column("deleted_at", _MOMENT))
    if _is_sqlite():
        for table in _CHANGED:
            _copy(table, _fragments(table), _values_of(table))
        for table, indices in _INDICES.items():
            _create_indices(table, "workspace_id", indices)
    else:
        _to_workspaces_on_postgresql()
        _analyze()
    op.create_index("ix_api_keys_workspace_id", "api_keys", ["workspace_id"])
    _extend_idempotency_keys()
    if _is_sqlite():
        _say("Checking references …", _count_rows("logs"))  # migrations/env.py does


def downgrade() -> None:
    if _is_sqlite():
        _refuse_small_disk()
        _prepare_sqlite()
    _remove_pending_workspaces()
    _give_to_oldest_owners()
    op.execute("DELETE FROM api_keys WHERE workspace_id IS NOT NULL OR scopes IS NOT NULL")
    op.execute("UPDATE users SET disabled_since = deleted_at WHERE disabled_since IS NULL AND deleted_at IS NOT NULL")
    _reduce_idempotency_keys()
    if _is_sqlite():
        for table in _CHANGED:
            _copy(table, [(new, old) for old, new in _fragments(table)], {_owner_of(table): "author_id"})
        for table, indices in _INDICES.items():
            _create_indices(table, "owner_id", indices)
    else:
        _to_owners_on_postgresql()
    op.execute("ALTER TABLE users DROP COLUMN deleted_at")
    for table in ("invitations", "members", "workspaces"):
        op.drop_table(table)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


# Progress, on standard error


def _say(text: str, rows: int) -> None:
    """Write what is being done with this number of rows, if there are so many that it takes seconds."""
    if rows >= _SHOWN_FROM:
        print(text, file=sys.stderr, flush=True)


def _show_progress(text: str, done: int, rows: int) -> None:
    """Write how far the copy of a large table is, every ten per cent; `done` has grown by `_ROWS_AT_ONCE` at most."""
    step = _SHOWN_PER_CENT * rows // 100
    if step and (done == rows or done // step > (done - _ROWS_AT_ONCE) // step):
        _say(f"{text}: {100 * done // rows} %", rows)


def _count_rows(table: str) -> int:
    count: int = op.get_bind().exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
    return count


# Both databases


def _create_tables() -> None:
    op.create_table(
        "workspaces",
        sa.Column("seq", _SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("personal_user_id", sa.String(64)),
        sa.Column("protected_labels", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_workspaces"),
        sa.UniqueConstraint("id", name="uq_workspaces_id"),
        sa.UniqueConstraint("slug", name="uq_workspaces_slug"),
        sa.UniqueConstraint("personal_user_id", name="uq_workspaces_personal_user_id"),
        sa.ForeignKeyConstraint(["personal_user_id"], ["users.id"], name="fk_workspaces_personal_user_id"),
    )
    op.create_table(
        "members",
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("is_default", sa.Boolean, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "user_id", name="pk_members"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_members_workspace_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_members_user_id"),
        sa.CheckConstraint("role IN ('viewer', 'editor', 'owner')", name=op.f("ck_members_role")),
    )
    op.create_index("ix_members_user_id_workspace_id", "members", ["user_id", "workspace_id"])
    op.create_table(
        "invitations",
        sa.Column("seq", _SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("workspace_id", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("author_id", sa.String(64), nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_invitations"),
        sa.UniqueConstraint("id", name="uq_invitations_id"),
        sa.UniqueConstraint("digest", name="uq_invitations_digest"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_invitations_workspace_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["author_id"], ["users.id"], name="fk_invitations_author_id"),
        sa.CheckConstraint("role IN ('viewer', 'editor', 'owner')", name=op.f("ck_invitations_role")),
    )
    op.create_index("ix_invitations_workspace_id_created_at_seq", "invitations", ["workspace_id", "created_at", "seq"])


def _add_personal_workspaces() -> None:
    op.execute(
        "INSERT INTO workspaces (id, slug, name, personal_user_id, protected_labels, created_at, updated_at) "
        f"SELECT {_PERSONAL.format('id')}, 'personal-' || lower(replace(substr(id, 5), '_', '')), name, id, '[]', "
        "created_at, created_at FROM users ORDER BY seq"
    )
    op.execute(
        "INSERT INTO members (workspace_id, user_id, role, is_default, created_at) "
        "SELECT id, personal_user_id, 'owner', false, created_at FROM workspaces"
    )


def _extend_idempotency_keys() -> None:
    op.rename_table("idempotency_keys", "old_idempotency_keys")
    op.drop_index("ix_idempotency_keys_created_at", "old_idempotency_keys")
    if not _is_sqlite():
        op.execute("ALTER TABLE old_idempotency_keys RENAME CONSTRAINT pk_idempotency_keys TO pk_old_idempotency_keys")
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("api_key_id", sa.String(64), nullable=False),
        sa.Column("workspace_id", sa.String(64), nullable=False),
        *_answer_columns(),
        sa.PrimaryKeyConstraint("user_id", "api_key_id", "workspace_id", "key", name="pk_idempotency_keys"),
        sa.ForeignKeyConstraint(
            ["workspace_id", "user_id"],
            ["members.workspace_id", "members.user_id"],
            name="fk_idempotency_keys_workspace_id_user_id",
            ondelete="CASCADE",
        ),
    )
    op.execute(
        "INSERT INTO idempotency_keys "
        "(user_id, api_key_id, workspace_id, key, fingerprint, status, location, body, created_at) "
        f"SELECT owner_id, '{_ANY_CREDENTIAL}', {_PERSONAL.format('owner_id')}, "
        "key, fingerprint, status, location, body, created_at FROM old_idempotency_keys"
    )
    op.drop_table("old_idempotency_keys")
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def _reduce_idempotency_keys() -> None:
    """Keep the oldest answer to a key that was sent with several credentials or in several workspaces."""
    op.rename_table("idempotency_keys", "new_idempotency_keys")
    op.drop_index("ix_idempotency_keys_created_at", "new_idempotency_keys")
    if not _is_sqlite():
        op.execute("ALTER TABLE new_idempotency_keys RENAME CONSTRAINT pk_idempotency_keys TO pk_new_idempotency_keys")
    op.create_table(
        "idempotency_keys",
        sa.Column("owner_id", sa.String(64), nullable=False),
        *_answer_columns(),
        sa.PrimaryKeyConstraint("owner_id", "key", name="pk_idempotency_keys"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_idempotency_keys_owner_id", ondelete="CASCADE"),
    )
    op.execute(
        "INSERT INTO idempotency_keys (owner_id, key, fingerprint, status, location, body, created_at) "
        "SELECT user_id, key, fingerprint, status, location, body, created_at FROM ("
        "SELECT *, row_number() OVER "
        "(PARTITION BY user_id, key ORDER BY created_at, api_key_id, workspace_id) AS place "
        "FROM new_idempotency_keys) AS placed WHERE place = 1"
    )
    op.drop_table("new_idempotency_keys")
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def _answer_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("location", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
    ]


def _remove_pending_workspaces() -> None:
    """Remove the rows of deleted workspaces that await their purge; the release before knows no such deletion."""
    deleted = "(SELECT target_id FROM pending_deletions WHERE kind = 'workspace')"
    prompts = f"(SELECT id FROM prompts WHERE workspace_id IN {deleted})"
    for rows in (
        f"log_search WHERE log_seq IN (SELECT seq FROM logs WHERE workspace_id IN {deleted})",
        f"idempotency_keys WHERE workspace_id IN {deleted}",
        f"logs WHERE workspace_id IN {deleted}",
        f"traces WHERE workspace_id IN {deleted}",
        f"experiment_variants WHERE workspace_id IN {deleted}",
        f"experiments WHERE workspace_id IN {deleted}",
        f"prompt_labels WHERE prompt_id IN {prompts}",
        f"prompt_versions WHERE prompt_id IN {prompts}",
        f"prompt_tags WHERE prompt_id IN {prompts}",
        f"prompt_search WHERE seq IN (SELECT seq FROM prompts WHERE workspace_id IN {deleted})",
        f"prompts WHERE workspace_id IN {deleted}",
        "pending_deletions WHERE kind = 'workspace'",
    ):
        op.execute(f"DELETE FROM {rows}")


def _give_to_oldest_owners() -> None:
    """Make the oldest owner of each workspace, or else its oldest member, the author of all that it has."""
    op.execute("CREATE TEMPORARY TABLE heirs (workspace_id VARCHAR(64) PRIMARY KEY, user_id VARCHAR(64) NOT NULL)")
    op.execute(
        "INSERT INTO heirs (workspace_id, user_id) SELECT workspace_id, user_id FROM ("
        "SELECT workspace_id, user_id, row_number() OVER (PARTITION BY workspace_id ORDER BY "
        "CASE role WHEN 'owner' THEN 0 WHEN 'editor' THEN 1 ELSE 2 END, created_at, user_id) AS place FROM members"
        ") AS placed WHERE place = 1"
    )
    heir = "(SELECT user_id FROM heirs WHERE heirs.workspace_id = {}.workspace_id)"
    for table in _INDICES:
        op.execute(f"UPDATE {table} SET author_id = {heir.format(table)} WHERE author_id <> {heir.format(table)}")
    for table in _WITH_SLUGS:
        _number_slugs(table)
    op.execute("DROP TABLE heirs")


def _number_slugs(table: str) -> None:
    """Add `-2`, `-3` … to slugs that another row of the same author has; those of personal workspaces stay."""
    connection = op.get_bind()
    rows = connection.execute(
        sa.text(
            f"SELECT author_id, {table}.slug, {table}.id FROM {table} JOIN workspaces ON workspaces.id = workspace_id "
            f"WHERE author_id IN (SELECT author_id FROM {table} GROUP BY author_id, slug HAVING count(*) > 1) "
            f"ORDER BY personal_user_id IS NULL, {table}.seq"
        )
    ).all()
    taken: set[tuple[str, str]] = set()
    every = {(author, slug) for author, slug, _ in rows}
    change = sa.text(f"UPDATE {table} SET slug = :slug WHERE id = :id")
    for author, slug, row_id in rows:
        name, number = slug, 1
        while (author, name) in taken or (number > 1 and (author, name) in every):
            number += 1
            name = f"{slug[: _SLUG_MAX - len(str(number)) - 1]}-{number}"
        taken.add((author, name))
        if name != slug:
            connection.execute(change, {"slug": name, "id": row_id})


# PostgreSQL


def _to_workspaces_on_postgresql() -> None:
    _alter("api_keys", "ADD COLUMN workspace_id VARCHAR(64), ADD COLUMN scopes TEXT")
    _alter("api_keys", "ADD COLUMN last_used_at TIMESTAMP WITH TIME ZONE")
    _alter("api_keys", f"ADD {_KEY_OF_WORKSPACE.replace('KEY(', 'KEY (')}")
    for table, indices in _INDICES.items():
        _drop_owner_indices(table, "owner_id", indices)
        _alter(table, f"DROP CONSTRAINT fk_{table}_owner_id")
    for table, column, *_ in _REFERENCES:
        _alter(table, f"DROP CONSTRAINT fk_{table}_{column}")
    for table in _INDICES:
        _alter(table, "RENAME COLUMN owner_id TO author_id")
        _alter(table, "ADD COLUMN workspace_id VARCHAR(64)")
        _say(f"Rewriting {table} …", _count_rows(table))
        _alter(
            table,
            f"ALTER COLUMN workspace_id TYPE VARCHAR(64) USING {_PERSONAL.format('author_id')}, "
            "ALTER COLUMN workspace_id SET NOT NULL",
        )
    _alter("prompt_versions", "DROP CONSTRAINT fk_prompt_versions_created_by")
    _alter("prompt_versions", "RENAME COLUMN created_by TO author_id")
    _alter("experiment_variants", "ADD COLUMN workspace_id VARCHAR(64)")
    op.execute(
        "UPDATE experiment_variants SET workspace_id = experiments.workspace_id "
        "FROM experiments WHERE experiments.id = experiment_id"
    )
    _alter("experiment_variants", "ALTER COLUMN workspace_id SET NOT NULL")
    for table in _WITH_SLUGS:
        _alter(table, f"DROP CONSTRAINT uq_{table}_owner_id_slug")
        _alter(table, f"ADD CONSTRAINT uq_{table}_workspace_id_slug UNIQUE (workspace_id, slug)")
    for table in _REFERRED_TO:
        _alter(table, f"ADD CONSTRAINT uq_{table}_workspace_id_id UNIQUE (workspace_id, id)")
    for table in (*_INDICES, "prompt_versions"):
        _alter(table, f"ADD CONSTRAINT fk_{table}_author_id FOREIGN KEY (author_id) REFERENCES users (id)")
    for table, indices in _INDICES.items():
        _alter(
            table,
            f"ADD CONSTRAINT fk_{table}_workspace_id FOREIGN KEY (workspace_id) REFERENCES workspaces (id) "
            "ON DELETE CASCADE",
        )
        _create_indices(table, "workspace_id", indices)
    for table, column, parent, _, action in _REFERENCES:
        _alter(
            table,
            f"ADD CONSTRAINT fk_{table}_workspace_id_{column} FOREIGN KEY (workspace_id, {column}) "
            f"REFERENCES {parent} (workspace_id, id){action}",
        )
    _check_parents_last()


def _check_parents_last() -> None:
    """Let a log lock its prompt before the version, and its experiment before the variant, as deletions do.

    PostgreSQL checks foreign keys in the order in which they were added. In the other order, a log that is inserted and
    the deletion of its prompt would each wait for what the other has locked.
    """
    for name, key in _KEYS_OF_PARTS.items():
        _alter("logs", f"DROP CONSTRAINT {name}")
        _alter("logs", f"ADD CONSTRAINT {name} FOREIGN KEY {key}")


def _to_owners_on_postgresql() -> None:
    _alter("api_keys", "DROP COLUMN workspace_id, DROP COLUMN scopes, DROP COLUMN last_used_at")
    for table, column, *_ in _REFERENCES:
        _alter(table, f"DROP CONSTRAINT fk_{table}_workspace_id_{column}")
    for table, indices in _INDICES.items():
        _drop_owner_indices(table, "workspace_id", indices)
    for table in (*_INDICES, "prompt_versions"):
        _alter(table, f"DROP CONSTRAINT fk_{table}_author_id")
    for table in _REFERRED_TO:
        _alter(table, f"DROP CONSTRAINT uq_{table}_workspace_id_id")
    for table in _WITH_SLUGS:
        _alter(table, f"DROP CONSTRAINT uq_{table}_workspace_id_slug")
    for table in (*_INDICES, "experiment_variants"):
        _alter(table, "DROP COLUMN workspace_id")
    for table in (*_INDICES, "prompt_versions"):
        owner = _owner_of(table)
        _alter(table, f"RENAME COLUMN author_id TO {owner}")
        _alter(
            table,
            f"ADD CONSTRAINT fk_{table}_{owner} FOREIGN KEY ({owner}) REFERENCES users (id) ON DELETE CASCADE",
        )
    for table in _WITH_SLUGS:
        _alter(table, f"ADD CONSTRAINT uq_{table}_owner_id_slug UNIQUE (owner_id, slug)")
    for table, indices in _INDICES.items():
        _create_indices(table, "owner_id", indices)
    for table, column, parent, action, _ in _REFERENCES:
        _alter(table, f"ADD CONSTRAINT fk_{table}_{column} FOREIGN KEY ({column}) REFERENCES {parent} (id){action}")
    _check_parents_last()


def _analyze() -> None:
    """Give the planner the distribution of the new columns; a rewrite does not let autovacuum do so."""
    op.execute(f"ANALYZE {', '.join((*_CHANGED, 'workspaces', 'members'))}")


def _alter(table: str, change: str) -> None:
    op.execute(f"ALTER TABLE {table} {change}")


def _drop_owner_indices(table: str, first: str, indices: tuple[str, ...]) -> None:
    for rest in indices:
        op.drop_index(_index_name(table, first, rest), table)


def _create_indices(table: str, first: str, indices: tuple[str, ...]) -> None:
    count = _count_rows(table)
    for rest in indices:
        name = _index_name(table, first, rest)
        _say(f"Creating the index {name} …", count)
        op.execute(f"CREATE INDEX {name} ON {table} ({first}, {rest})")


def _index_name(table: str, first: str, rest: str) -> str:
    return "_".join(["ix", table, first, *rest.split(", ")])


def _owner_of(table: str) -> str:
    """Return the name that the column of the author has had."""
    return "created_by" if table == "prompt_versions" else "owner_id"


# SQLite


def _refuse_small_disk() -> None:
    """Raise RuntimeError unless there is space for the copies and indices of tables that have rows.

    The copies are in the log and in the file before the end. An index is sorted in a temporary file, which may be on
    another disk.
    """
    if not _count_rows("users"):
        return
    file = Path(op.get_bind().exec_driver_sql("PRAGMA database_list").all()[0][2])
    size, log = file.stat().st_size, Path(f"{file}-wal")
    written_over = log.stat().st_size if log.exists() else 0  # what a migration that was killed has left
    _refuse_full(file.parent, _SPACE_FACTOR * size, written_over)
    temporary = _temporary_folder()
    if temporary.stat().st_dev != file.parent.stat().st_dev:
        _refuse_full(temporary, size // _LARGEST_INDEX)


def _refuse_full(folder: Path, wanted: int, more: int = 0) -> None:
    free = shutil.disk_usage(folder).free + more
    if free < wanted:
        raise RuntimeError(
            f"The folder {folder} has {free // 10**6:,} MB free, but the migration needs {-(-wanted // 10**6):,} MB "
            "there. Nothing was changed."
        )


def _temporary_folder() -> Path:
    """Return the folder in which SQLite creates its temporary files."""
    candidates = [os.environ.get("SQLITE_TMPDIR", ""), os.environ.get("TMPDIR", ""), *_TEMPORARY_FOLDERS]
    return next((Path(name) for name in candidates if name and os.access(name, os.W_OK | os.X_OK)), Path())


def _prepare_sqlite() -> None:
    """Set how this connection works, which ends with the migration."""
    connection = op.get_bind()
    connection.exec_driver_sql(f"PRAGMA cache_size=-{_CACHE_KIB}")
    # Dropping a table would otherwise overwrite all its pages with zeros, if the library was built so; they are free
    # afterwards, and hold what the copy holds
    connection.exec_driver_sql("PRAGMA secure_delete=FAST")


def _megabytes(size: int) -> str:
    return f"{-(-size // 10**6):,} MB"


def _fragments(table: str) -> list[tuple[str, str]]:
    """Return the pieces of the statement that created a table, as they were before this migration and are after it."""
    owner = _owner_of(table)
    to_users = f"CONSTRAINT fk_{table}_{{0}} FOREIGN KEY({{0}}) REFERENCES users (id)"
    pairs = []
    if table == "api_keys":
        columns = ("expires_at VARCHAR(24)", "workspace_id VARCHAR(64)", "scopes TEXT", "last_used_at VARCHAR(24)")
        pairs.append((columns[0], ", \n\t".join(columns)))
        constraint = f"{to_users.format('user_id')} ON DELETE CASCADE"
        pairs.append((constraint, f"{constraint}, \n\t{_KEY_OF_WORKSPACE}"))
    elif table == "experiment_variants":
        pairs.append(("(\n\texperiment_id ", "(\n\tworkspace_id VARCHAR(64) NOT NULL, \n\texperiment_id "))
    elif table == "prompt_versions":
        pairs.append((f"{owner} VARCHAR(64) NOT NULL", "author_id VARCHAR(64) NOT NULL"))
        pairs.append((f"{to_users.format(owner)} ON DELETE CASCADE", to_users.format("author_id")))
    else:
        pairs.append(
            (f"{owner} VARCHAR(64) NOT NULL", "workspace_id VARCHAR(64) NOT NULL, \n\tauthor_id VARCHAR(64) NOT NULL")
        )
        constraints = [
            to_users.format("author_id"),
            f"CONSTRAINT fk_{table}_workspace_id FOREIGN KEY(workspace_id) REFERENCES workspaces (id) "
            "ON DELETE CASCADE",
        ]
        if table in _REFERRED_TO:
            constraints.append(f"CONSTRAINT uq_{table}_workspace_id_id UNIQUE (workspace_id, id)")
        pairs.append((f"{to_users.format(owner)} ON DELETE CASCADE", ", \n\t".join(constraints)))
    if table in _WITH_SLUGS:
        unique = f"CONSTRAINT uq_{table}_{{0}}_slug UNIQUE ({{0}}, slug)"
        pairs.append((unique.format(owner), unique.format("workspace_id")))
    for child, column, parent, before, after in _REFERENCES:
        if child == table:
            pairs.append(
                (
                    f"CONSTRAINT fk_{table}_{column} FOREIGN KEY({column}) REFERENCES {parent} (id){before}",
                    f"CONSTRAINT fk_{table}_workspace_id_{column} FOREIGN KEY(workspace_id, {column}) "
                    f"REFERENCES {parent} (workspace_id, id){after}",
                )
            )
    return pairs


def _values_of(table: str) -> dict[str, str]:
    """Return the expressions for the columns that a copied table had not before."""
    if table == "api_keys":
        return {}
    if table == "experiment_variants":
        workspace = "SELECT workspace_id FROM experiments WHERE experiments.id = experiment_id"
        return {"workspace_id": f"({workspace})"}
    owner = _owner_of(table)
    if table == "prompt_versions":
        return {"author_id": owner}
    return {"workspace_id": _PERSONAL.format(owner), "author_id": owner}


def _copy(table: str, replaced: list[tuple[str, str]], values: dict[str, str]) -> None:
    """Replace a table by a copy with other constraints and, for some columns, the values of these expressions."""
    connection = op.get_bind()
    statements = connection.exec_driver_sql(
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY rowid", (table,)
    ).all()
    created = next(sql for kind, _, sql in statements if kind == "table")
    for before, after in replaced:
        if created.count(before) != 1:
            raise RuntimeError(f"The table {table} is not as migrations have made it: it lacks {before!r}.")
        created = created.replace(before, after)
    connection.exec_driver_sql(re.sub(r'^CREATE TABLE "?\w+"?', f"CREATE TABLE copy_of_{table}", created))
    # Rows keep their rowid, which is `seq` where there is one. The pragma leaves out generated columns
    columns = [row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info(copy_of_{table})") if row[1] != "seq"]
    old = {row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table})")}
    names = ", ".join(["rowid", *(f'"{column}"' for column in columns)])
    selected = ["rowid", *(values.get(column, f'"{column}"' if column in old else "NULL") for column in columns)]
    insert = (
        f"INSERT INTO copy_of_{table} ({names}) SELECT {', '.join(selected)} FROM {table} "
        f"WHERE rowid > ? ORDER BY rowid LIMIT {_ROWS_AT_ONCE}"
    )
    count = _count_rows(table)
    last, copied = _SMALLEST_ROWID, 0
    while copied < count:
        connection.exec_driver_sql(insert, (last,))
        last = connection.exec_driver_sql(f"SELECT max(rowid) FROM copy_of_{table}").scalar_one()
        copied = min(count, copied + _ROWS_AT_ONCE)
        _show_progress(f"Copying {table}", copied, count)
    op.drop_table(table)
    op.rename_table(f"copy_of_{table}", table)
    for kind, name, sql in statements:
        if kind == "index" and not re.search(r"\b(owner_id|workspace_id)\b", sql):
            _say(f"Creating the index {name} …", count)
            connection.exec_driver_sql(sql)
