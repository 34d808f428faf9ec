"""What the command line does with a whole database: copies, disk space, the move to PostgreSQL."""
