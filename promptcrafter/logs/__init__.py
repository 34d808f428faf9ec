"""Logs: every output a prompt produced, with notes, a score and what it cost."""
