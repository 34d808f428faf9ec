"""The session of a browser: a cookie that holds the same token as the API takes in a header.

Only pages accept the cookie. A log-out or a change of the password ends the token, and so the session.
"""

from datetime import timedelta
from typing import Any

from flask import current_app, request

from promptcrafter.auth.credentials import issue_token, session_cookie
from promptcrafter.auth.models import User


def start(response: Any, user: User) -> None:
    """Set the cookie of a new session."""
    lifetime: timedelta = current_app.config["JWT_ACCESS_TOKEN_EXPIRES"]
    response.set_cookie(session_cookie(), issue_token(user), max_age=lifetime, **_attributes())


def end(response: Any) -> None:
    """Remove the cookie."""
    response.delete_cookie(session_cookie(), **_attributes())


def _attributes() -> dict[str, Any]:
    return {"httponly": True, "samesite": "Lax", "secure": request.is_secure, "path": "/"}
