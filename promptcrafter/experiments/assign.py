"""Assignment of users to variants. A pure function: nothing is stored, and the same user gets the same variant."""

from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate


def assign(slug: str, user_id: str, shares: Sequence[int]) -> int | None:
    """Return the index of the share that the user is assigned to; None if the shares sum to 0.

    Shares are relative to their sum, and no user is assigned to a share of 0. The hash of experiment and user is a
    uniformly distributed position in [0, 1), on which the shares are intervals in their order. A change of the shares
    reassigns only users whose positions come to lie in another interval.
    """
    total = sum(shares)
    if not total:
        return None
    digest = sha256(f"{slug}\0{user_id}".encode()).digest()
    position = int.from_bytes(digest[:8]) * total  # in [0, 2^64 * total): integers avoid rounding errors at the ends
    return next(index for index, end in enumerate(accumulate(shares)) if position < end << 64)
