"""Traceloop's (OpenLLMetry's) instrumentation of the package `openai`."""

import openai_calls
import tracing

openai_calls.run(tracing.tracer.start_as_current_span)
