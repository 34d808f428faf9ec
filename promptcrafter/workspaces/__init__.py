"""Workspaces: who may do what with the prompts, logs, traces and experiments of a team."""
