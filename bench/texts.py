"""Text to fill databases and requests with: the same in every run, with words as unevenly common as in a language."""

from itertools import accumulate, product
from random import Random

_SYLLABLES = [
    consonant + vowel for consonant, vowel in product("bdfgklmnprstvz", ["a", "e", "i", "o", "u", "ai", "en"])
]
_VOCABULARY_SIZE = 5000


def make_vocabulary() -> list[str]:
    """Return distinct words of two to four syllables."""
    random = Random(1)
    words: dict[str, None] = {}
    while len(words) < _VOCABULARY_SIZE:
        words["".join(random.choices(_SYLLABLES, k=random.choice((2, 2, 3, 4))))] = None
    return list(words)


class Writer:
    """Writes texts in which the n-th word is n times rarer than the first (Zipf)."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._words = make_vocabulary()
        self._weights = list(accumulate(1 / rank for rank in range(1, _VOCABULARY_SIZE + 1)))

    def write(self, characters: int) -> str:
        """Return a text of about so many characters."""
        words = self._random.choices(self._words, cum_weights=self._weights, k=characters // 4)
        return " ".join(words)[:characters]
