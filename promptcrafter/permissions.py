"""What a route needs of its caller: every route declares one permission, where it is declared."""

from enum import StrEnum


class Permission(StrEnum):
    """A permission. Today an account has every one of them for what it owns; an unauthenticated caller has PUBLIC."""

    PUBLIC = "public"  # no authentication
    SIGNED_IN = "signed_in"  # any valid token or API key: about the service itself
    ACCOUNT = "account"  # the caller's own account, tokens and API keys
    READ = "read"  # prompts, logs, traces, experiments, statistics
    INGEST = "ingest"  # add logs, traces and results; be assigned a variant
    WRITE = "write"  # make, change and delete all that READ covers
