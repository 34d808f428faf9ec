"""Traces: the steps of a client's program between a request and its answer, with the outputs that they used."""
