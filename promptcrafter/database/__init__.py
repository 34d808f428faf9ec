"""Access to the database, SQLite or PostgreSQL. Must not import `http` or any other room above."""
