"""Traces: what happened between a request and its answer, step by step, with the outputs it took."""
