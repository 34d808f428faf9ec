"""Operations of the command line on a whole database: backup, vacuum, the move to PostgreSQL."""
