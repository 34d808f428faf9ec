"""Password hashing: Argon2id with OWASP's parameters (19 MiB, 2 passes, 1 lane; Password Storage Cheat Sheet).

A password is hashed in its normal form NFC, because keyboards and systems write the same letter as different code
points. Releases up to 0.1 hashed what was typed. Callers check the length first, as it was sent: normalising long text
takes long.
"""

import unicodedata
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# matches no password and takes as long to verify as a real hash: a salt of 16 bytes and a hash of 32, all zero
_DUMMY_HASH = (
    f"$argon2id$v=19$m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}${'A' * 22}${'A' * 43}"
)


@dataclass(frozen=True)
class Verdict:
    """What a comparison of a password with a hash found."""

    is_right: bool
    renewed_hash: str | None = None  # to store if the hash was made in an earlier way


_WRONG = Verdict(is_right=False)


def hash_password(password: str) -> str:
    """Return the encoded hash with its salt and parameters."""
    return _hasher.hash(_normalize(password))


def verify(password_hash: str | None, password: str) -> Verdict:
    """Compare a password with a hash. Without one (no such account, or a deleted one) take as long, and it is wrong.

    A password that is not in normal form is compared as it was typed, too. How many hashes a wrong password costs
    depends on it alone, not on the account, so that the time does not reveal whether the account exists.
    """
    hashed = _find_hashed(password_hash, password)
    if not password_hash or hashed is None:
        return _WRONG
    is_current = hashed == _normalize(password) and not _hasher.check_needs_rehash(password_hash)
    return Verdict(is_right=True, renewed_hash=None if is_current else hash_password(password))


def replace(password_hash: str | None, password: str, new_password: str) -> str | None:
    """Return the hash of a new password, or None if `password` is not the one that was hashed."""
    return None if _find_hashed(password_hash, password) is None else hash_password(new_password)


def _find_hashed(password_hash: str | None, password: str) -> str | None:
    """Return the form of the password that was hashed, the normal one or the typed one; None if it is another password.

    A deleted account has the hash "".
    """
    compared_hash = password_hash or _DUMMY_HASH
    return next(
        (form for form in dict.fromkeys((_normalize(password), password)) if _matches(compared_hash, form)), None
    )


def _normalize(password: str) -> str:
    return unicodedata.normalize("NFC", password)


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except VerifyMismatchError:
        return False
