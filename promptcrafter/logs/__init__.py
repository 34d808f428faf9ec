"""Logs: the outputs of prompts, with notes, score, token counts and cost."""
