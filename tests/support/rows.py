"""Rows of tables that some tests write past the API."""

from typing import Any

from promptcrafter import clock
from promptcrafter.workspaces.principal import personal_workspace_id


def idempotency_row(user_id: str, /, **values: Any) -> dict[str, Any]:
    """Return the columns of an idempotency key that an account has sent with a token, with these values."""
    plain = {"key": "k", "fingerprint": "", "status": 200, "body": "", "created_at": clock.now()}
    return {
        "user_id": user_id,
        "api_key_id": "",
        "workspace_id": personal_workspace_id(user_id),
        **plain,
        **values,
    }
