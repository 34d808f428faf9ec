"""Which variant a user gets. A pure function: nothing is stored, and a user keeps the variant."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate


def assign(slug: str, user_id: str, shares: Sequence[int]) -> int | None:
    """Return the index of the user's share; None when the shares sum to 0.

    The hash of experiment and user, evenly spread over [0, 1), is a place on the shares laid end to end. Shares are
    relative to their sum; one of 0 gets nobody. Users move only where a change of the shares moves a border past them.
    """
    total = sum(shares)
    if not total:
        return None
    digest = sha256(f"{slug}\0{user_id}".encode()).digest()
    place = int.from_bytes(digest[:8]) * total  # of 2^64 * total, in whole numbers, so that no rounding decides
    return next(index for index, border in enumerate(accumulate(shares)) if place < border << 64)
