"""Throttles on what can be guessed or flooded: sign-up, log-in, password change, new API keys.

The counts are kept in each worker's memory, or in all hosts' together when RATELIMIT_STORAGE_URI names a Redis.
"""

import time
from typing import Any

from flask import Flask, Response, current_app, request
from flask_limiter import Limiter, RateLimitExceeded
from flask_limiter.util import get_remote_address

from config import Config
from promptcrafter import jsonio
from promptcrafter.auth import store
from promptcrafter.auth.principal import current_user_id
from promptcrafter.errors import Problem, render

_limiter = Limiter(get_remote_address)


def init_app(app: Flask, config: Config) -> None:
    """Read the rates from the configuration."""
    app.config.update(
        RATELIMIT_ENABLED=config.ratelimit_enabled,
        RATELIMIT_STORAGE_URI=config.ratelimit_storage_uri,
        RATELIMIT_IN_MEMORY_FALLBACK_ENABLED=True,  # a store that is away does not stop people from logging in
        SIGNUP_RATE=config.signup_rate,
        LOGIN_RATE=config.login_rate,
        LOGIN_FAILURE_RATE=config.login_failure_rate,
        KEY_RATE=config.key_rate,
    )
    _limiter.init_app(app)
    app.register_error_handler(RateLimitExceeded, _refuse)


def _rate(setting: str) -> Any:
    return lambda: current_app.config[setting]


def _is_wrong_password(response: Response) -> bool:
    return response.status_code == 401


def _account() -> str:
    """Name the account whose password is tried; what is not a proper body names none and is refused later."""
    try:
        return "account:" + store.email_key(jsonio.loads(request.get_data())["email"])
    except (jsonio.JsonError, TypeError, KeyError, AttributeError):
        return "account:"


limit_signups = _limiter.limit(_rate("SIGNUP_RATE"))
limit_logins = _limiter.limit(_rate("LOGIN_RATE"))
limit_login_failures = _limiter.limit(_rate("LOGIN_FAILURE_RATE"), key_func=_account, deduct_when=_is_wrong_password)
limit_keys = _limiter.limit(_rate("KEY_RATE"), key_func=current_user_id)
limit_password_failures = _limiter.limit(
    _rate("LOGIN_FAILURE_RATE"), key_func=current_user_id, deduct_when=_is_wrong_password
)


def _refuse(error: RateLimitExceeded) -> Response:
    limit = _limiter.current_limit
    wait = max(1, int(limit.reset_at - time.time())) if limit else 60
    message = f"Too many attempts. Try again in {wait} seconds."
    return render(Problem(429, message, "too_many_requests", headers={"Retry-After": str(wait)}))
