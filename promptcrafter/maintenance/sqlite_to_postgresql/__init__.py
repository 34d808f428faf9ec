"""Moving house: a whole installation, everybody's things and their accounts, from a SQLite file into PostgreSQL."""
