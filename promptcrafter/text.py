"""Folding of text for comparison, its width and visibility, Unicode ranges of kinds of characters, and labels."""

import re
import unicodedata
from functools import cache

# Unicode ranges for use inside the brackets of a regular expression: the letters of Thai, Lao, Myanmar, Khmer,
# Hiragana, Katakana and Han
SPACELESS_SCRIPTS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# The blocks between them that are not letters: radicals, punctuation, compatibility and full-width forms
EAST_ASIAN_SYMBOLS = "\u2e80-\u303f\u3100-\u33ff\u4dc0-\u4dff\uff00-\uffef"
# Characters other than white space that leave no mark on a page: controls, Unicode's Default_Ignorable_Code_Point (soft
# hyphen, joiners, marks of direction, Hangul fillers, variation selectors, tags …), annotation marks, the blank Braille
# pattern, and the null note head. The first constant has those up to U+FFFF, written as ECMAScript can read them, too.
INVISIBLE_BMP = (
    r"\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
)
INVISIBLE = INVISIBLE_BMP + r"\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
# Most letters that are wide in East Asian scripts, up to U+FFFF: Hangul, Kana, Bopomofo, Han, Yi, full-width Latin
WIDE_LETTERS_BMP = (
    r"\u1100-\u115e\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u3131-\u3163"
    r"\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c\ua960-\ua97c\uac00-\ud7a3\uf900-\ufa6d"
    r"\ufa70-\ufad9\uff21-\uff3a\uff41-\uff5a"
)
LABEL_PATTERN = "[A-Za-z][A-Za-z0-9._-]{0,63}"  # of a prompt's labels, which a workspace may protect
_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_VISIBLE = re.compile(rf"[^\s{INVISIBLE}]")
_LONGEST_RUN = 250  # marks
_FIRST_MARK, _LAST_MARK = 0x300, 0x1FFFF  # all characters with a combining class are between them
_LONG_LIGATURES = "\ufdfa\ufdfb"  # Arabic formulas in one character, which NFKC turns into 18 and 8
_LIGATURES_MAX = 1000  # of each in a text; the others are folded to blanks
_WIDE = ("W", "F")  # East Asian Wide and Fullwidth (Unicode Standard Annex 11)


def fold(text: str) -> str:
    """Return the form of a text in which equal texts compare equal (NFKC, case folded, NFKC again: UAX #31, R4).

    Marks that follow each other are sorted, which takes quadratic time. No language puts more than a dozen on a letter,
    so a longer run than `_LONGEST_RUN` is folded piece by piece (as Unicode's stream-safe format does: UAX #15).
    """
    if len(text) <= _LONGEST_RUN or text.isascii():
        return _fold(text)
    for ligature in _LONG_LIGATURES:
        if text.count(ligature) > _LIGATURES_MAX:
            *first, rest = text.split(ligature, _LIGATURES_MAX)
            text = ligature.join([*first, rest.replace(ligature, " ")])
    if _marks().isdisjoint(text):
        return _fold(text)
    pieces, start = [], 0
    for run in _long_runs().finditer(text):
        for end in range(run.start() + _LONGEST_RUN, run.end(), _LONGEST_RUN):
            pieces.append(text[start:end])
            start = end
    return "".join(map(_fold, [*pieces, text[start:]]))


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


@cache
def _marks() -> frozenset[str]:
    """Return all marks; made at first use, which takes milliseconds."""
    characters = (chr(code) for code in range(_FIRST_MARK, _LAST_MARK + 1) if not 0xD800 <= code < 0xE000)
    return frozenset(
        mark for mark in characters if all(map(unicodedata.combining, unicodedata.normalize("NFKD", mark)))
    )


@cache
def _long_runs() -> re.Pattern[str]:
    """Return the pattern for runs of marks that are too long."""
    return re.compile(f"[{''.join(sorted(_marks()))}]{{{_LONGEST_RUN + 1},}}")


def shorten(text: str, maximum: int = 100) -> str:
    """Return the beginning of a text that a client sent, for a message; unpaired surrogates become `\\ud800`."""
    text = text if len(text) <= maximum else f"{text[:maximum]}…"
    return text.encode(errors="backslashreplace").decode()


def is_invisible(text: str) -> bool:
    """Return whether a text has nothing but white space and invisible characters."""
    return _VISIBLE.search(text) is None


def find_invisible(text: str) -> str | None:
    """Return the first invisible character of a text other than white space, None if there is none."""
    found = _INVISIBLE.search(text)
    return found and found[0]


def display_width(text: str) -> int:
    """Return how many columns a text takes in a font of fixed width: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in _WIDE else 1
        for character in text
    )


def count_columns(text: str) -> int:
    """Return the number of characters of a text, with letters counted twice that are wide in East Asian scripts."""
    return len(text) + sum(
        unicodedata.east_asian_width(character) in _WIDE and _is_letter(character) and not is_invisible(character)
        for character in text
    )


def _is_letter(character: str) -> bool:
    return character.isalpha() or unicodedata.category(character) == "Nl"  # such as the ideographic zero
