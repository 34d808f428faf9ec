"""The database: SQLite or PostgreSQL. It knows no HTTP."""
