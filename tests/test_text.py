"""Which characters are invisible, and how wide a text is."""

import re
import unicodedata

import pytest

from promptcrafter.text import (
    INVISIBLE,
    INVISIBLE_BMP,
    WIDE_LETTERS_BMP,
    count_columns,
    display_width,
    find_invisible,
    fold,
    is_invisible,
)

# Default_Ignorable_Code_Point of Unicode 15.1, from DerivedCoreProperties.txt
DEFAULT_IGNORABLE = (
    "00AD 034F 061C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 3164 FE00-FE0F FEFF FFA0 FFF0-FFF8 "
    "1BCA0-1BCA3 1D173-1D17A E0000-E0FFF"
)


def expand(ranges: str) -> set[int]:
    ends = (part.partition("-") for part in ranges.split())
    return {code for first, _, last in ends for code in range(int(first, 16), int(last or first, 16) + 1)}


def test_the_invisible_characters_are_those_that_unicode_ignores_and_a_few_others() -> None:
    others = {"\u2800", "\U0001d159", *"\ufff9\ufffa\ufffb"}
    controls = {chr(code) for code in range(0xA0) if unicodedata.category(chr(code)) == "Cc"}
    found = set(re.findall(f"[{INVISIBLE}]", "".join(map(chr, range(0x110000)))))
    assert found == {chr(code) for code in expand(DEFAULT_IGNORABLE)} | others | controls
    assert {character for character in found if ord(character) <= 0xFFFF} == set(
        re.findall(f"[{INVISIBLE_BMP}]", "".join(map(chr, range(0x10000))))
    )
    formats = {chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cf"}
    assert {unicodedata.name(character)[:8] for character in formats - found} <= {
        "ARABIC N",
        "ARABIC P",
        "EGYPTIAN",
    } | {*("ARABIC S", "ARABIC F", "ARABIC E", "ARABIC D", "SYRIAC A", "KAITHI N", "ARABIC R")}, (
        "formats that are seen: signs over numbers, and joiners of hieroglyphs"
    )


@pytest.mark.parametrize(
    "text", ["", " ", "\t\u3000\u00a0", "\u200b\u200d", "\u3164", "\u115f\u1160", "\u2800", "\ufe0f"]
)
def test_a_text_of_white_space_and_invisible_characters_is_invisible(text: str) -> None:
    assert is_invisible(text)


@pytest.mark.parametrize("text", [".", "\u200ba", "\u0301", "👩\u200d🔬", "\u0600", "\ue000", "\uffff", "한"])
def test_a_text_with_any_other_character_is_not(text: str) -> None:
    assert not is_invisible(text)


def test_the_wide_letters_of_the_pattern_are_wide() -> None:
    letters = [chr(code) for code in range(0x10000) if re.match(f"[{WIDE_LETTERS_BMP}]", chr(code))]
    assert len(letters) > 40_000
    assert all(count_columns(letter) == 2 for letter in letters)


def test_the_first_invisible_character_is_found_and_white_space_is_none() -> None:
    assert find_invisible("a b\u3000c") is None
    assert find_invisible("a\u00adb\u200b") == "\u00ad"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        *(
            ("R1", 2),
            ("翻译", 4),
            ("山", 2),
            ("山1", 3),
            ("あ", 2),
            ("한국", 4),
            ("ＡＢ", 4),
            ("Ｒ１", 3),
            ("〇〇", 4),
            ("々", 2),
        ),
        *(
            ("ｶﾅ", 2),
            ("１２", 2),
            ("！！", 2),
            ("🎉🎉", 2),
            ("\u3164\u3164", 2),
            ("\u3000\u3000", 2),
            ("é", 1),
            ("", 0),
        ),
    ],
)
def test_wide_letters_take_two_columns(text: str, columns: int) -> None:
    assert count_columns(text) == columns


@pytest.mark.parametrize(
    ("text", "columns"), [("", 0), ("R1", 2), ("客服", 4), ("，", 2), ("🙂", 2), ("e\u0301", 1), ("ｱ", 1), ("Ａ", 2)]
)
def test_the_width_of_a_text_is_that_in_a_font_of_fixed_width(text: str, columns: int) -> None:
    assert display_width(text) == columns


def test_a_text_is_folded_in_bounded_time_however_many_marks_follow_each_other() -> None:
    """Folded as one, a million marks would take an hour."""
    marks = "\u0301\u0323" * 500_000
    assert len(fold(f"A{marks}B")) <= len(marks) + 2
    folded = fold(f"A{marks}B")
    assert (folded[:2], folded[-1]) == ("\u1ea1\u0323", "b")
    assert len(fold("\uff9e\u0323\u0f73" * 50_000)) >= 150_000


def test_long_text_is_folded_as_if_it_were_one_piece() -> None:
    words = "E\u0301\u0323te\u0301 ﬁn 京都 ＧＰＴ Straße İ ᄒ\u1161\u11ab ｶﾞ " * 50
    assert len(words) > 250
    assert fold(words) == unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", words).casefold())
    marks = "\u0301\u0323" * 100
    assert fold(f"{words}{marks}") == unicodedata.normalize(
        "NFKC", unicodedata.normalize("NFKC", f"{words}{marks}").casefold()
    )


def test_all_marks_are_looked_for() -> None:
    marks = [code for code in range(0x110000) if unicodedata.combining(chr(code))]
    assert (marks[0], marks[-1] <= 0x1FFFF) == (0x300, True)
