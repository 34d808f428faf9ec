"""What Schemathesis does not know by itself; it loads this file by SCHEMATHESIS_HOOKS."""

import schemathesis

# Lines go out as the text they are: to it, a body of this type could not be sent at all
schemathesis.serializer.alias("application/x-ndjson", "text/plain")
