"""Prompts: what they say now, every version they had, their tags and labels, and the search over them."""
