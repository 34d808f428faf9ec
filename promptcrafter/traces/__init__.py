"""Traces: the spans of one run of a client's program, with the outputs logged in them."""
