"""The dialect of Basalt's clients: prompts to read and publish, outputs and traces to log.

All of it is under /basalt; `POST /monitor/log` is at the root too, and so is everything for a client that says it is
one of Basalt's SDKs (see `middleware`).
"""
