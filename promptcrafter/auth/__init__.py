"""Accounts, passwords, tokens, API keys, and the authentication of requests."""
