"""Access to the database, SQLite or PostgreSQL. It must not import the HTTP modules."""
