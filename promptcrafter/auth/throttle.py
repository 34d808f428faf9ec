"""Throttles on what can be guessed or flooded: sign-up, log-in, password change, new API keys.

The counts are kept in each worker's memory, or in all hosts' together when RATELIMIT_STORAGE_URI names a Redis.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from flask import Flask, current_app, request
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter as Counts

from config import Config
from promptcrafter import jsonio
from promptcrafter.auth import store
from promptcrafter.auth.authentication import current_principal
from promptcrafter.problems import Problem

_THROTTLE = "promptcrafter-throttle"
_PATIENCE_S = 1  # with a store that does not answer
_AWAY_S = 2  # until a store that was away is asked again

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class _Throttle:
    """The rates, none if throttles are off, and the counts: the store's, or this worker's own while that is away."""

    def __init__(self, store_uri: str, rates: Mapping[str, str]) -> None:
        self._rates = {name: parse_many(rate) for name, rate in rates.items()}
        options = {"socket_timeout": _PATIENCE_S, "socket_connect_timeout": _PATIENCE_S}
        self._shared = Counts(storage_from_string(store_uri, wrap_exceptions=True, **options))
        self._own = Counts(MemoryStorage())
        self._away_until = 0.0

    def refuse_spent(self, is_free: Callable[..., bool], name: str, key: str) -> None:
        """Raise a 429 when any of the rates of that name is spent, as a method of `Counts` tells."""
        spent = [rate for rate in self._rates.get(name, ()) if not self._ask(is_free, rate, name, key)]
        if spent:
            resets = [self._ask(Counts.get_window_stats, rate, name, key).reset_time for rate in spent]
            wait = max(1, math.ceil(max(resets) - time.time()))
            message = f"Too many attempts. Try again in {wait} seconds."
            raise Problem(429, message, "too_many_requests", headers={"Retry-After": str(wait)})

    def count(self, name: str, key: str) -> None:
        """Count one more, without asking whether it is too many."""
        for rate in self._rates.get(name, ()):
            self._ask(Counts.hit, rate, name, key)

    def _ask(self, question: Callable[..., _Answer], rate: RateLimitItem, *identifiers: str) -> _Answer:
        """Call a method of `Counts`. A store that is away keeps nobody from logging in."""
        if time.monotonic() >= self._away_until:
            try:
                return question(self._shared, rate, *identifiers)
            except StorageError as error:
                self._away_until = time.monotonic() + _AWAY_S
                _log.warning("throttles count alone, their store is away: %s", type(error.storage_error).__name__)
        return question(self._own, rate, *identifiers)


def init_app(app: Flask, config: Config) -> None:
    """Read the rates from the configuration."""
    rates = {
        "signup": config.signup_rate,
        "login": config.login_rate,
        "failure": config.login_failure_rate,
        "key": config.key_rate,
    }
    app.extensions[_THROTTLE] = _Throttle(config.ratelimit_storage_uri, rates if config.ratelimit_enabled else {})


@contextmanager
def _limit(name: str, whose: Callable[[], str]) -> Iterator[None]:
    """Let a view be called as often as the rate of that name allows."""
    _throttle().refuse_spent(Counts.hit, name, whose())
    yield


@contextmanager
def _limit_wrong_passwords(whose: Callable[[], str]) -> Iterator[None]:
    """Let a view answer 401 as often as the rate of failures allows, and then nothing else."""
    throttle, key = _throttle(), whose()
    throttle.refuse_spent(Counts.test, "failure", key)
    try:
        yield
    except Problem as problem:
        if problem.status == 401:
            throttle.count("failure", key)
        raise


def _throttle() -> _Throttle:
    throttle: _Throttle = current_app.extensions[_THROTTLE]
    return throttle


def _address() -> str:
    return request.remote_addr or ""


def _account() -> str:
    """Name the account whose password is tried; what is not a proper body names none and is refused later."""
    try:
        return "account:" + store.email_key(jsonio.loads(request.get_data())["email"])
    except (jsonio.JsonError, TypeError, KeyError, AttributeError):
        return "account:"


def _caller() -> str:
    return current_principal().user_id


# As decorators these begin anew at each call
limit_signups = _limit("signup", _address)
limit_logins = _limit("login", _address)
limit_keys = _limit("key", _caller)
limit_login_failures = _limit_wrong_passwords(_account)
limit_password_failures = _limit_wrong_passwords(_caller)
