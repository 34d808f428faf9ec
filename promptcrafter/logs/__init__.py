"""Logs: the outputs of prompts, with notes, scores, token counts and costs."""
