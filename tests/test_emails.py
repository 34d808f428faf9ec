"""When two e-mail addresses are the same one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcrafter.emails import appearance, identity, key, spellings

LETTERS = st.text(
    st.sampled_from("aAkK\u212aéÉe\u0301\u0327sSßẞσΣςiIİı\u0307\u0323Åå\u212b\u030a한ᄒ\u1161\u11ab豈\uf900Ａ")
)


def test_lower_case_and_normal_forms_commute_for_every_character() -> None:
    for code in range(0x110000):
        character = chr(code)
        if 0xD800 <= code < 0xE000 or character.isascii():
            continue
        forms = {unicodedata.normalize("NFC", character), unicodedata.normalize("NFD", character)}
        assert {identity(form) for form in forms} == {identity(character)}, f"U+{code:04X}"


@given(email=LETTERS, form=st.sampled_from(["NFC", "NFD"]))
def test_the_identity_is_the_same_in_each_normal_form(email: str, form: str) -> None:
    other = unicodedata.normalize(form, email)  # type: ignore[arg-type]
    assert identity(other) == identity(email) == identity(identity(email))


@given(emails=st.tuples(LETTERS, LETTERS))
def test_addresses_that_were_the_same_by_their_case_still_are(emails: tuple[str, str]) -> None:
    one, other = emails
    if key(one) == key(other):
        assert identity(one) == identity(other)


@pytest.mark.parametrize(("one", "other"), [("ß", "ss"), ("Ａ", "a"), ("ﬁ", "fi"), ("ı", "i"), ("ς", "σ"), ("é", "e")])
def test_nothing_else_is_folded(one: str, other: str) -> None:
    assert identity(f"{one}@example.com") != identity(f"{other}@example.com")


def test_an_account_may_be_stored_under_each_normal_form() -> None:
    assert spellings("Ada@example.com") == ["ada@example.com"]
    assert spellings("E\u0301\u0323@x.org") == ["e\u0301\u0323@x.org", "\u1eb9\u0301@x.org", "e\u0323\u0301@x.org"]


def test_invisible_characters_do_not_change_how_an_address_looks() -> None:
    assert appearance("A\u200bda@exa\u00admple.com") == appearance("ada@example.com") == "ada@example.com"
    assert appearance("e\u034f\u0301@x.org") == "\u00e9@x.org"
