"""Reading of tokens: JWTs of this service, signed with HS256.

A correct signature does not make the claims well-formed: another program that has the key may sign anything. So each
claim is checked for its type and range before it is used. PyJWT checks the signature only, because its own checks of
the claims convert what they compare, and raise other errors than PyJWTError for some values.
"""

import base64
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt

from promptcrafter import jsonio
from promptcrafter.ids import is_well_formed

ALGORITHM = "HS256"
EPOCH = "epoch"
# The clocks of two hosts may differ by this much. Nothing else depends on clocks: tokens are revoked by their epoch
LEEWAY_S = 60
_TIME_MAX = 253_402_300_799  # the end of the year 9999
_TOKEN_MAX = 4096  # characters; tokens of this service have 400
_FORM = re.compile(r"\A[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_signatures = jwt.PyJWS(algorithms=[ALGORITHM])


class InvalidToken(Exception):
    """The text is no token of this service."""


@dataclass(frozen=True)
class Claims:
    """The claims of a token that are used; times in seconds since 1970."""

    user_id: str
    epoch: int
    not_before: int
    expires_at: int

    def is_valid_at(self, now: float) -> bool:
        """Return whether the token is neither expired nor of the future, give or take `LEEWAY_S`."""
        return self.not_before - LEEWAY_S <= now < self.expires_at + LEEWAY_S


@lru_cache(maxsize=1024)
def read(token: str, key: str) -> Claims:
    """Return the claims of a correctly signed token. Raises InvalidToken.

    The result is cached, because a client sends the same token with every request and verifying it takes as long as a
    database query. So the caller must check `Claims.is_valid_at`.
    """
    if len(token) > _TOKEN_MAX or not _FORM.fullmatch(token):
        raise InvalidToken
    try:
        _read_object(_decode(token.partition(".")[0]))  # PyJWT reads it without limits, before the signature is known
        claims = _read_object(_signatures.decode(token, key, [ALGORITHM]))
    except (jwt.PyJWTError, ValueError) as error:  # jsonio.JsonError and binascii.Error are ValueErrors
        raise InvalidToken from error
    user_id, epoch = claims.get("sub"), claims.get(EPOCH)
    if (
        claims.get("type") != "access"
        or not isinstance(claims.get("jti"), str)
        or not isinstance(user_id, str)
        or not is_well_formed("user", user_id)
        or type(epoch) is not int  # a bool is an int, too
    ):
        raise InvalidToken
    not_before = max(_read_time(claims, "iat"), _read_time(claims, "nbf"))
    return Claims(user_id, epoch, not_before, _read_time(claims, "exp"))


def _read_time(claims: dict[str, Any], name: str) -> int:
    time = claims.get(name)
    if type(time) is not int or not 0 <= time <= _TIME_MAX:
        raise InvalidToken
    return time


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _read_object(data: bytes) -> dict[str, Any]:
    """Return a JSON object without duplicate keys. Raises ValueError."""
    value = jsonio.loads(data)
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value
