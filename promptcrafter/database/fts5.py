"""How much work SQLite's full-text index FTS5 has with the terms of a text.

FTS5 gathers the terms of a text in a hash table and compares each with the others in its bucket, under the write lock.
Its hash is simple: a client can choose terms that all fall into one bucket, and rare texts have such terms by chance.
Then a text of 200 KB takes half a minute. See decision record 41.
"""

from collections import Counter
from collections.abc import Callable, Collection

_MIN_BUCKETS = 1024
_MAIN = ord("0")  # the byte that FTS5 puts before the terms of its main index


def bucket_of(number: int) -> Callable[[str], int]:
    """Return a function from a term to its bucket in the hash table that FTS5 has for this number of different terms.

    FTS5 doubles the table whenever it is half full. (`fts5HashKey2` in fts5_hash.c)
    """
    mask = max(_MIN_BUCKETS, 1 << (2 * number).bit_length()) - 1

    def bucket(term: str) -> int:
        key = 13
        for byte in reversed(term.encode()):
            key = (key << 3 ^ key ^ byte) & mask
        return (key << 3 ^ key ^ _MAIN) & mask

    return bucket


def mean_comparisons(terms: Collection[str]) -> float:
    """Return with how many of the terms, which are all different, FTS5 compares one of them on average."""
    sizes = Counter(map(bucket_of(len(terms)), terms)).values()
    return sum(size * size for size in sizes) / max(1, len(terms))


def drop_crowded(terms: Collection[str], maximum: int) -> list[str]:
    """Return the terms, which are all different, without those beyond `maximum` in their bucket."""
    counts: Counter[int] = Counter()
    kept = []
    for term, bucket in zip(terms, map(bucket_of(len(terms)), terms), strict=True):
        counts[bucket] += 1
        if counts[bucket] <= maximum:
            kept.append(term)
    return kept
