"""Operations of the command line on a whole database: backup, vacuum, the move to PostgreSQL."""

from collections.abc import Callable

Progress = Callable[[int, int], None]  # called with the number of steps done, and their total
