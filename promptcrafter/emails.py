"""When two e-mail addresses are the same one. Pure functions; callers check the length first (`LENGTH_MAX`)."""

import re
import unicodedata

from promptcrafter.text import INVISIBLE

LENGTH_MAX = 254  # characters of an address
_INVISIBLE = re.compile(f"[{INVISIBLE}]")


def key(email: str) -> str:
    """Return the address in lower case."""
    return email.lower()


def identity(email: str) -> str:
    """Return the form in which all spellings of an address are equal: in lower case and in the normal form NFC.

    Nothing more is folded: `ß` and `ss`, or full-width and other letters, are different mailboxes.
    """
    return unicodedata.normalize("NFC", key(email))


def spellings(email: str) -> list[str]:
    """Return the keys that an account with this address may have, first the one with the same code points."""
    forms = (key(email), identity(email), unicodedata.normalize("NFD", key(email)))
    return list(dict.fromkeys(forms))


def appearance(email: str) -> str:
    """Return the identity without the invisible characters, which are not accepted in new addresses."""
    return identity(_INVISIBLE.sub("", email))
