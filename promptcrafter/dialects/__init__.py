"""Dialects: the APIs of other systems. Their clients record into the same logs as the native API."""
