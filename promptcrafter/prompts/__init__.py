"""Prompts: their current state, all versions, tags and labels, and search."""
