"""Folding of text for comparison, and the Unicode ranges of scripts that put no spaces between words."""

import unicodedata

# Unicode ranges for use inside the brackets of a regular expression: the letters of Thai, Lao, Myanmar, Khmer,
# Hiragana, Katakana and Han
SPACELESS_SCRIPTS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# The blocks between them that are not letters: radicals, punctuation, compatibility and full-width forms
EAST_ASIAN_SYMBOLS = "\u2e80-\u303f\u3100-\u33ff\u4dc0-\u4dff\uff00-\uffef"


def fold(text: str) -> str:
    """Return the form of a text in which equal texts compare equal (NFKC, case folded, NFKC again: UAX #31, R4)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
