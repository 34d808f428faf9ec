"""Hooks for Schemathesis, which loads the file that SCHEMATHESIS_HOOKS names."""

import schemathesis

# Lines go out as the text they are: to it, a body of these types could not be sent at all
for name in ("ndjson", "x-ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines"):
    schemathesis.serializer.alias(f"application/{name}", "text/plain")
schemathesis.serializer.alias("application/yaml", "text/plain")
schemathesis.serializer.alias("application/x-protobuf", "application/octet-stream")
