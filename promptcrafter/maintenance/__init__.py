"""What the command line does with a whole database: backup, vacuum, the move to PostgreSQL."""
