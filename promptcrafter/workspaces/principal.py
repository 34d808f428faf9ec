"""The principal: the account that a request or a command acts for. Views pass it to stores."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Principal:
    """An account, authenticated by a token or an API key, or named by a command on the host."""

    user_id: str
