"""Rate limits on sign-up, log-in, password change and new API keys.

The counts are kept in memory that all workers share, or, for all hosts together, in the Redis that
RATELIMIT_STORAGE_URI names. A client is known by its source: its IPv4 address or its IPv6 network.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from flask import Flask, current_app, request
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter as RateLimiter

from config import Config
from promptcrafter import emails, jsonio
from promptcrafter.auth.counters import Counters
from promptcrafter.auth.credentials import current_user_id
from promptcrafter.auth.sources import source_of
from promptcrafter.http.route import requested_route
from promptcrafter.problems import Problem

_THROTTLE = "promptcrafter-throttle"
_MEMORY = "memory://"
_FAILURE, _FAILURE_TOTAL = "failure", "failure-total"  # names of rates
_STORE_TIMEOUT_S = 1
_STORE_RETRY_S = 2  # time for which a store that failed is not used

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class _SharedMemory(Storage):
    """The counters of this host, as a storage of the library."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._counters = Counters()

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        return ()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        return self._counters.add(key, amount, expiry)

    def get(self, key: str) -> int:
        return self._counters.get(key)[0]

    def get_expiry(self, key: str) -> float:
        return self._counters.get(key)[1]

    def check(self) -> bool:
        return True

    def reset(self) -> None:
        self._counters.clear()

    def clear(self, key: str) -> None:
        raise NotImplementedError


class _Throttle:
    """The configured rates and their counts: in the store, or in this host's memory while the store is unreachable.

    `rates` maps names to rates such as `20 per hour`; it is empty if rate limits are off.
    """

    def __init__(self, store_uri: str, rates: Mapping[str, str]) -> None:
        self._rates = {name: parse_many(rate) for name, rate in rates.items()}
        self._own = RateLimiter(_SharedMemory())
        self._shared = self._own
        if store_uri != _MEMORY:
            options = {"socket_timeout": _STORE_TIMEOUT_S, "socket_connect_timeout": _STORE_TIMEOUT_S}
            self._shared = RateLimiter(storage_from_string(store_uri, wrap_exceptions=True, **options))
        self._retry_store_at = 0.0  # 0 while the store answers

    def refuse_exhausted(self, test: Callable[..., bool], name: str, *key: str) -> None:
        """Raise 429 if one of the rates of that name is exhausted.

        `test` is `RateLimiter.hit`, which also counts, or `RateLimiter.test`, which does not.
        """
        exhausted = [rate for rate in self._rates.get(name, ()) if not self._call(test, rate, name, *key)]
        if exhausted:
            resets = [self._call(RateLimiter.get_window_stats, rate, name, *key).reset_time for rate in exhausted]
            wait = max(1, math.ceil(max(resets) - time.time()))
            message = f"Too many attempts. Try again in {wait} seconds."
            raise Problem(429, message, "too_many_requests", headers={"Retry-After": str(wait)})

    def count(self, name: str, *key: str) -> None:
        """Count one attempt without checking the limit."""
        for rate in self._rates.get(name, ()):
            self._call(RateLimiter.hit, rate, name, *key)

    def _call(self, method: Callable[..., _Result], rate: RateLimitItem, *identifiers: str) -> _Result:
        """Call a method of `RateLimiter` on the store's counts, or on this host's own if the store is unreachable.

        Log-ins stay possible while the store is down. Only one request at a time then finds out whether it is back.
        """
        now = time.monotonic()
        if now >= self._retry_store_at:
            if self._retry_store_at:
                self._retry_store_at = now + _STORE_RETRY_S
            try:
                result = method(self._shared, rate, *identifiers)
            except StorageError as error:
                self._retry_store_at = time.monotonic() + _STORE_RETRY_S
                _log.warning("throttles count alone, their store is away: %s", type(error.storage_error).__name__)
            else:
                self._retry_store_at = 0.0
                return result
        return method(self._own, rate, *identifiers)


def init_app(app: Flask, config: Config) -> None:
    """Read the rates from the configuration."""
    rates = {
        "signup": config.signup_rate,
        "login": config.login_rate,
        _FAILURE: config.login_failure_rate,
        _FAILURE_TOTAL: config.login_failure_total_rate,
        "key": config.key_rate,
    }
    app.extensions[_THROTTLE] = _Throttle(config.ratelimit_storage_uri, rates if config.ratelimit_enabled else {})


@contextmanager
def _limit(name: str, get_key: Callable[[], str]) -> Iterator[None]:
    """Raise 429 if a view is called more often than the rate of that name allows, counted for each `get_key()`."""
    _throttle().refuse_exhausted(RateLimiter.hit, name, get_key())
    yield


@contextmanager
def _limit_wrong_passwords(get_account: Callable[[], str]) -> Iterator[None]:
    """Count the 401 responses of a view, and raise 429 instead of calling it once a rate of failures is exhausted.

    Wrong passwords are counted for an account and a source, so that those of others do not lock its owner out. A far
    higher rate holds for the account and all sources, for attackers who have many.
    """
    throttle, account = _throttle(), get_account()
    counters = [(_FAILURE, account, _source()), (_FAILURE_TOTAL, account)]
    for counter in counters:
        throttle.refuse_exhausted(RateLimiter.test, *counter)
    try:
        yield
    except Problem as problem:
        if problem.status == 401:
            for counter in counters:
                throttle.count(*counter)
        raise


def count_signup() -> None:
    """Count what reveals whether an address is in use, as a sign-up does. Raises 429 if the rate is exhausted."""
    _throttle().refuse_exhausted(RateLimiter.hit, "signup", _source())


def _throttle() -> _Throttle:
    throttle: _Throttle = current_app.extensions[_THROTTLE]
    return throttle


def _source() -> str:
    return source_of(request.remote_addr or "")


def _account() -> str:
    """Return the key for the account that the body names; all invalid bodies, which are rejected later, share one.

    All spellings of an address share one, too, because they name the same account. The body is JSON or, of a page, a
    form.
    """
    route = requested_route()
    try:
        is_page = route is not None and route.is_page
        email: Any = request.form.get("email") if is_page else jsonio.loads(request.get_data())["email"]
    except (jsonio.JsonError, TypeError, KeyError):
        return "account:"
    is_address = isinstance(email, str) and len(email) <= emails.LENGTH_MAX
    return f"account:{emails.identity(email)}" if is_address else "account:"


def _caller() -> str:
    return current_user_id()


# as decorators, these context managers are recreated for each call
limit_signups = _limit("signup", _source)
limit_logins = _limit("login", _source)
limit_keys = _limit("key", _caller)
limit_login_failures = _limit_wrong_passwords(_account)
limit_password_failures = _limit_wrong_passwords(_caller)
