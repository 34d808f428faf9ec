"""The assignment of variants to users."""

from collections import Counter

import pytest

from promptcrafter.experiments.assign import assign

KNOWN = [0, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 0]
USERS = [f"user-{number}" for number in range(100_000)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "shares", [(50, 50), (90, 10), (34, 33, 33), (1, 99), (20, 20, 20, 20, 20), (70, 0, 30), (10, 20), (1, 1, 1)]
)
def test_the_split_is_within_one_percent_of_the_shares(shares: tuple[int, ...]) -> None:
    counts = Counter(assign("greeting", user, shares) for user in USERS)
    for index, share in enumerate(shares):
        assert counts[index] / len(USERS) == pytest.approx(share / sum(shares), abs=0.01)
    assert set(counts) == {index for index, share in enumerate(shares) if share}


def test_a_user_keeps_the_variant() -> None:
    # Fixed results: another hash, or another order of its parts, would reassign the users of all running experiments
    assert [assign("greeting", f"user-{number}", (50, 50)) for number in range(12)] == KNOWN
    assert assign("greeting", "user-0", (5, 5)) == assign("greeting", "user-0", (50, 50))


def test_experiments_split_users_independently() -> None:
    both = Counter((assign("one", user, (50, 50)), assign("two", user, (50, 50))) for user in USERS)
    for count in both.values():
        assert count / len(USERS) == pytest.approx(0.25, abs=0.01)


def test_a_growing_share_gains_users_and_loses_none() -> None:
    before = [assign("greeting", user, (10, 90)) for user in USERS[:20_000]]
    after = [assign("greeting", user, (20, 80)) for user in USERS[:20_000]]
    moved = Counter((was, now) for was, now in zip(before, after, strict=True) if was != now)
    assert set(moved) == {(1, 0)}
    assert moved[1, 0] / 20_000 == pytest.approx(0.1, abs=0.01)


def test_without_shares_no_variant_is_assigned() -> None:
    assert assign("greeting", "user-0", ()) is None
    assert assign("greeting", "user-0", (0, 0)) is None


def test_unusual_names_of_users_are_assigned() -> None:
    names = ["", " ", "é", "東京", "a" * 100_000, "x\ny"]
    assert {assign("greeting", name, (1, 1)) for name in names} <= {0, 1}
