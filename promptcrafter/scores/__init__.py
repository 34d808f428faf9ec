"""Scores: what people, judges and code think of outputs, and how far they agree. Their store is `logs.scores`."""
