"""Permissions. Each route requires exactly one, which it names in `http.blueprint.Blueprint.route`."""

from enum import StrEnum


class Permission(StrEnum):
    """A permission. Today an account has every one of them for what it owns; an unauthenticated caller has PUBLIC."""

    PUBLIC = "public"  # no authentication
    SIGNED_IN = "signed_in"  # any valid token or API key; information about the service
    ACCOUNT = "account"  # the caller's own account, tokens and API keys
    READ = "read"  # prompts, logs, traces, experiments, statistics
    INGEST = "ingest"  # add logs, traces and results; be assigned a variant
    WRITE = "write"  # create, change and delete what READ covers
