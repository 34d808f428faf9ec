"""People: accounts, passwords, tokens, and who is calling."""
