"""OpenTelemetry: spans that instrumented programs send become logs and the steps of traces."""
