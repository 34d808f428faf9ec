"""On PostgreSQL, an index over the trigrams of prompts' contents. SQLite's FTS5 has one."""

from alembic import op

revision = "a95d07c3e1f4"
down_revision = "7c40b9e2f6a1"
branch_labels = None
depends_on = None

# As bytes, whose order no collation changes. The cost, in PostgreSQL's units for about half a millisecond, keeps the
# planner from calling it row by row
_FUNCTION = """
CREATE FUNCTION search_trigrams(folded text) RETURNS bytea[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 10000 AS $$
  WITH characters AS MATERIALIZED (SELECT string_to_array(folded, NULL) AS c)
  SELECT ARRAY(
    SELECT DISTINCT convert_to(first || second || third, 'UTF8')
    FROM characters, unnest(c, c[2:], c[3:]) AS trigram (first, second, third)
    WHERE third IS NOT NULL
  )
$$
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_FUNCTION)
        op.execute(
            "CREATE INDEX ix_prompt_search_content_trigrams ON prompt_search USING gin (search_trigrams(content))"
        )
        # which would take ANALYZE as long as the index, and of which the planner makes no use
        op.execute("ALTER INDEX ix_prompt_search_content_trigrams ALTER COLUMN 1 SET STATISTICS 0")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP INDEX ix_prompt_search_content_trigrams")
        op.execute("DROP FUNCTION search_trigrams")
