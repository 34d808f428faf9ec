"""Who a request or a command acts for, as one object that views hand to stores."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Principal:
    """An account that acts: by a token, by one of its API keys, or by a command on the host."""

    user_id: str
