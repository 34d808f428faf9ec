"""Move an installation, the data of all accounts, from a SQLite file into PostgreSQL."""
