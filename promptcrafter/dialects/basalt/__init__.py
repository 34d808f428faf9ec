"""The dialect of Basalt's clients: they read and publish prompts, and log outputs and traces.

All its routes are under /basalt. `POST /monitor/log` is also at the root. Basalt's own SDKs, which a header identifies,
reach all of the routes at the root (see `middleware`).
"""
