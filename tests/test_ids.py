"""Public ids."""

from itertools import pairwise

from ulid import ULID

from promptcrafter.ids import is_well_formed, new_id


def test_an_id_cannot_be_guessed_from_its_neighbour() -> None:
    made = [new_id("log") for _ in range(2000)]
    numbers = [int.from_bytes(ULID.from_str(log_id.removeprefix("log_").upper()).bytes) for log_id in made]
    assert len(set(made)) == 2000
    assert all(abs(after - before) > 2**32 for before, after in pairwise(numbers))
    assert all(is_well_formed("log", log_id) and log_id == log_id.lower() for log_id in made)
