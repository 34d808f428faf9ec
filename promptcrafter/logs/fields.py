"""The fields of logs that requests, responses, exports and dialects share."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import current_app
from marshmallow import ValidationError, fields

from promptcrafter.http.fields import ERRORS, Number, Text
from promptcrafter.http.ignored_fields import note_ignored
from promptcrafter.http.schemas import FieldGroup, JsonObject
from promptcrafter.jsonio import dumps
from promptcrafter.logs.usage import INPUT_COUNTS, OUTPUT_COUNTS, find_excess, read_usage
from promptcrafter.problems import TooLarge
from promptcrafter.prompts.fields import MODEL_MAX

SCORE_MAX = 10
FAILED = "error"  # the status of a failed call; that of all others is stored as NULL
STATUSES = ("ok", FAILED)
ERROR_MAX = 20_000  # characters, enough for a stack trace
ORIGIN_MAX = 256  # characters of the names of a user, a session and an environment
NATIVE = "promptcrafter"
SOURCES = (NATIVE, "basalt", "agenttest", "llm", "promptfoo", "otlp")
_EXCESSES = {
    "cached_input_tokens": "must not exceed inputTokens, of which it is a part",
    "cache_write_tokens": "must not exceed, together with cachedInputTokens, inputTokens, of which both are parts",
    "reasoning_tokens": "must not exceed outputTokens, of which it is a part",
}


def read_model(values: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of the values under `names`, by default `model`, that can be a model's name; else None."""
    candidates = (values.get(name) for name in names or ("model",))
    return next((name for name in candidates if isinstance(name, str) and 0 < len(name) <= MODEL_MAX), None)


def output_bytes(output: Any) -> int:
    """Return the size in bytes that an output is stored with. Takes text, a JSON value or TextAndFormat's pair."""
    if isinstance(output, tuple):
        output, _ = output
    return len((output if isinstance(output, str) else dumps(output)).encode())


def refuse_large_output(output: Any) -> None:
    """Validate that an output takes at most MAX_OUTPUT_BYTES. Raises TooLarge, which the API answers with 413."""
    limit: int = current_app.config["MAX_OUTPUT_BYTES"]
    size = output_bytes(output)
    if size > limit:
        raise TooLarge("output", limit, size)


def review_fields() -> FieldGroup:
    """Return the fields of a review, for requests and lines of an export."""
    return {
        "notes": Text(allow_none=True, metadata={"example": "Clear, accessible explanation for students."}),
        "score": Number(allow_none=True, minimum=0, maximum=SCORE_MAX, metadata={"example": 8}),
    }


def call_fields(time: type[fields.Field[Any]]) -> FieldGroup:
    """Return the fields that describe the model's call, for LogIn, LogOut and LogLine of an export.

    `time` is the class of the fields for times. To add a number or a JSON object to logs, add a column to the model
    and a field here: it is then accepted, shown, exported and imported. Other types of fields, which requests and
    responses describe differently, are declared in each of the three schemas.
    """
    return {
        "variables": JsonObject(),
        "start_time": time(data_key="startTime"),
        "end_time": time(data_key="endTime"),
        "latency_ms": Number(data_key="latencyMs", minimum=0),
        "input_tokens": Number(data_key="inputTokens", minimum=0),
        "output_tokens": Number(data_key="outputTokens", minimum=0),
        "cost": Number(minimum=0, metadata={"description": "US dollars"}),
    }


def token_part_fields() -> FieldGroup:
    """Return the fields for tokens that are a part of others and have a price of their own.

    LogOut has them last, so that the columns of a list as CSV keep their positions.
    """
    of_input, of_output = "A part of inputTokens", "A part of outputTokens"
    return {
        "cached_input_tokens": Number(
            data_key="cachedInputTokens", minimum=0, metadata={"description": f"{of_input}: read from a cache"}
        ),
        "cache_write_tokens": Number(
            data_key="cacheWriteTokens", minimum=0, metadata={"description": f"{of_input}: written to a cache"}
        ),
        "reasoning_tokens": Number(
            data_key="reasoningTokens", minimum=0, metadata={"description": f"{of_output}: not visible in the output"}
        ),
    }


def outcome_fields(statuses: Sequence[str] = (FAILED,)) -> FieldGroup:
    """Return the fields about how a call ended and what it was made for, for LogIn, LogOut and LogLine of an export.

    LogOut has them last, as those of `token_part_fields`. A request may say `ok`, which is not stored.
    """

    def origin(name: str, description: str) -> Text:
        return Text(data_key=name, minimum=1, maximum=ORIGIN_MAX, metadata={"description": description})

    return {
        "status": Text(
            choices=statuses, metadata={"description": "`error` if the call failed; only that is stored and shown"}
        ),
        "error": Text(
            minimum=1,
            maximum=ERROR_MAX,
            metadata={"description": "What failed; needs the status `error`"},
        ),
        "user_id": origin("userId", "For whom the call was made: a user of yours, who needs no account here"),
        "session_id": origin("sessionId", "The conversation or session that the call belongs to"),
        "environment": origin("environment", "Where the call was made, such as `production`"),
        "parameters": JsonObject(metadata={"description": "The parameters of the call, such as the temperature"}),
        "provider": origin("provider", "Who served the model, such as `openai` or `azure`; prices differ by provider"),
    }


def usage_fields() -> FieldGroup:
    """Return the fields that take a `usage` object; a schema with them passes what it loads to `complete_counts`."""
    return {
        "usage": fields.Raw(
            error_messages=ERRORS,
            metadata={
                "description": "The token counts of the model's response, as OpenAI, Anthropic or Google spell them. "
                "Used where the fields above are absent",
                "example": {"prompt_tokens": 42, "completion_tokens": 128},
            },
        ),
        "usage_metadata": fields.Raw(
            error_messages=ERRORS,
            data_key="usageMetadata",
            metadata={"description": "Google's name of `usage`"},
        ),
    }


def complete_counts(values: dict[str, Any]) -> dict[str, Any]:
    """Replace the `usage` object among a log's loaded values by the counts in it that were not sent as fields.

    A count of input or of output that was sent as a field takes precedence over all counts of that side. A malformed
    object is ignored and named in `X-Ignored-Fields`. Raises ValidationError if a part exceeds its whole, and in strict
    mode for a malformed object.
    """
    for name, key in (("usage", "usage"), ("usage_metadata", "usageMetadata")):
        usage = values.pop(name, None)
        if usage is None:
            continue
        found = read_usage(usage)
        if found is None:
            note_ignored(key, "must be an object with token counts as a provider's response has them")
            continue
        counts, apart = found
        free = [side for side in (INPUT_COUNTS, OUTPUT_COUNTS) if not any(column in values for column in side)]
        taken = {column: counts[column] for side in free for column in side if column in counts}
        if not taken and any(values.get(column) != count for column, count in counts.items()):
            note_ignored(key, "has no effect beside other token counts")
            continue
        values |= taken
        if apart and "cost" not in values:
            values["priced"] = {"unpriced": apart}
    excess = find_excess(values)
    if excess is not None:
        raise ValidationError(_EXCESSES[excess], token_part_fields()[excess].data_key or excess)
    return values
