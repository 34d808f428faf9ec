"""Texts for databases and requests: the same in every run, with word frequencies like those of a natural language.

`bench.databases` fills kept databases again when this file changes.
"""

from itertools import accumulate
from random import Random

# Letters and their approximate frequencies in English in per cent, so that parts of words have uneven frequencies, too
_LETTERS = "etaoinshrdlcumwfgypbvk"
_PER_CENT = (13, 9, 8, 8, 7, 7, 6, 6, 6, 4, 4, 3, 3, 2, 2, 2, 2, 2, 2, 2, 1, 1)
_LENGTHS = (2, 3, 4, 4, 5, 6, 7, 8, 10)
_VOCABULARY_SIZE = 5000


def make_vocabulary() -> list[str]:
    """Return distinct words."""
    random = Random(1)
    words: dict[str, None] = {}
    while len(words) < _VOCABULARY_SIZE:
        words["".join(random.choices(_LETTERS, _PER_CENT, k=random.choice(_LENGTHS)))] = None
    return list(words)


class Writer:
    """Writes texts in which the n-th word of the vocabulary is n times rarer than the first (Zipf's law)."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._words = make_vocabulary()
        self._weights = list(accumulate(1 / rank for rank in range(1, _VOCABULARY_SIZE + 1)))

    def write(self, characters: int) -> str:
        """Return a text of at most this number of characters."""
        words = self._random.choices(self._words, cum_weights=self._weights, k=characters // 4)
        return " ".join(words)[:characters]
