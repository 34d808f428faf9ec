"""Dialects: the APIs of other systems, whose clients log into the same history."""
