"""The query parameters of logs: the filters, which calls about chosen logs share, and those of the list."""

from typing import Any

from flask import current_app
from marshmallow import Schema, ValidationError, post_load, validates_schema

from promptcrafter.http.fields import (
    ForeignId,
    NamedTexts,
    PatternText,
    QueryFlag,
    QueryNumber,
    RepeatedText,
    Text,
    TimestampText,
)
from promptcrafter.http.page_query import RANK, SEQUENCE, TIME, Cursor, PageQuery
from promptcrafter.ids import pattern
from promptcrafter.logs.fields import NATIVE, ORIGIN_MAX, SCORE_MAX, SOURCES, STATUSES
from promptcrafter.logs.questions import INPUT, NOTES, TEXTS
from promptcrafter.prompts.fields import (
    A_LABEL,
    QUERY_MAX,
    TAGS_MAX,
    VERSION_NAME,
    QueryVersionReference,
    refuse_bad_label,
)

SORTS = ("-createdAt", "createdAt", "-score", "score", "best", "worst")
METADATA_FILTERS_MAX = 5
_SCORE_RANGE = f"from 0 to {SCORE_MAX} unless `scoreName` is given"


class _Texts(Text):
    """Names of texts of a log, separated by commas; loads to a tuple of them. The input must be indexed."""

    def __init__(self, **kwargs: Any) -> None:
        name = f"({'|'.join(TEXTS)})"
        described = {"pattern": f"^{name}(,{name}){{0,{len(TEXTS) - 1}}}$", **kwargs.pop("metadata", {})}
        super().__init__(metadata=described, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        names = value.split(",", len(TEXTS))
        if len(names) > len(TEXTS) or not set(names) <= set(TEXTS):
            raise ValidationError(f"must be one or more of {', '.join(TEXTS)}, separated by commas")
        if INPUT in names and not current_app.config["INDEX_INPUT"]:
            raise ValidationError("may have input only on a server with the setting INDEX_INPUT=on")
        return tuple(name for name in TEXTS if name in names)


class LogFilters(Schema):
    """The filters of logs, which are combined by AND: for the list, and for whatever else is about chosen logs."""

    promptId = ForeignId(metadata={"description": "Logs of this prompt only", "pattern": pattern("prompt")})
    promptVersion = QueryVersionReference(
        metadata={"description": f"Logs of this version only: {VERSION_NAME}; needs `promptId`"}
    )
    model = Text(
        minimum=1,
        metadata={
            "description": "Logs with exactly this modelUsed; before a `*` at its end, with one that begins so, such "
            "as `claude-3-5-sonnet*`"
        },
    )
    minScore = QueryNumber(metadata={"description": f"Logs with at least this score, {_SCORE_RANGE}"})
    maxScore = QueryNumber(metadata={"description": f"Logs with at most this score, {_SCORE_RANGE}"})
    since = TimestampText(description="Created at this time or later, such as `2024-06-20T13:10:00Z` or `7d`")
    until = TimestampText(description="Created before this time")
    source = Text(
        choices=SOURCES, metadata={"description": f"The API that the logs were sent to; {NATIVE} is the native one"}
    )
    q = Text(
        minimum=1,
        maximum=QUERY_MAX,
        metadata={
            "description": "Logs with all these words in output or notes, such as `lived work*`; `word*` matches any "
            'word that begins so, `"two words"` the words in this order, and what `-` is before must be absent',
        },
    )
    texts = _Texts(data_key="in", metadata={"description": "The texts of a log that `q` is about"})
    scored = QueryFlag(metadata={"description": "Logs that have a score, or that have none"})
    scoreName = Text(
        minimum=1,
        maximum=64,
        metadata={"description": "`scored`, `minScore` and `maxScore` are about all scores of this name, by anybody"},
    )
    hasNotes = QueryFlag(metadata={"description": "Logs that have notes, or that have none"})
    tags = RepeatedText(
        Text(minimum=1),
        maximum=TAGS_MAX,
        data_key="tag",
        metadata={"description": "Logs of prompts with this tag; if given several times, with all of the tags"},
    )
    label = Text(
        validate=refuse_bad_label,
        metadata={**A_LABEL, "description": "Logs of the version that this label of their prompt is on now"},
    )
    startedSince = TimestampText(description="With a startTime at this time or later")
    startedUntil = TimestampText(description="With a startTime before this time")
    metadata = NamedTexts(
        "metadata",
        maximum=METADATA_FILTERS_MAX,
        maximum_length=500,
        metadata={
            "description": "`metadata.KEY=VALUE`: logs whose metadata have this key, at their top level, with this "
            "text, or the number, boolean or null of which it is the JSON"
        },
    )
    status = Text(choices=STATUSES, metadata={"description": "Logs of failed calls (`error`), or of all others"})
    userId = Text(minimum=1, maximum=ORIGIN_MAX, metadata={"description": "Logs with exactly this userId"})
    sessionId = Text(minimum=1, maximum=ORIGIN_MAX, metadata={"description": "Logs with exactly this sessionId"})
    environment = Text(minimum=1, maximum=ORIGIN_MAX, metadata={"description": "Logs with exactly this environment"})
    traceId = PatternText(
        pattern("trace"),
        "must be the id of a trace",
        metadata={"description": "Logs of the calls in this trace only"},
    )

    @validates_schema
    def refuse_contradictory_filters(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Reject combinations without a meaning."""
        if "promptVersion" in data and "promptId" not in data:
            raise ValidationError("needs promptId beside it", "promptVersion")
        if "promptVersion" in data and "label" in data:
            raise ValidationError("must not be given beside promptVersion, which takes a label, too", "label")
        if "texts" in data and "q" not in data:
            raise ValidationError("needs q beside it", "in")
        if data.get("texts") == (NOTES,) and not data.get("hasNotes", True):
            raise ValidationError("must not be false beside in=notes", "hasNotes")
        for name in ("minScore", "maxScore"):
            if name not in data:
                continue
            if "scoreName" not in data and not 0 <= data[name] <= SCORE_MAX:
                raise ValidationError(f"must be a number from 0 to {SCORE_MAX}", name)
            if not data.get("scored", True):
                raise ValidationError("must not be false beside minScore or maxScore", "scored")

    @post_load
    def load_defaults_as_none(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Load the native API and the status `ok` as None, which is how logs have them."""
        defaults = {"source": NATIVE, "status": STATUSES[0]}
        return data | {name: None for name, value in defaults.items() if data.get(name) == value}


class LogQuery(LogFilters, PageQuery):
    """The order of the list of logs and its filters."""

    cursor = Cursor(f"({RANK}-)?{TIME}-{SEQUENCE}")
    sort = Text(
        choices=SORTS,
        load_default=SORTS[0],
        metadata={
            "description": "Logs without a score rank below all others, but with `worst` they come last. `best` is "
            "`-score`"
        },
    )

    @validates_schema
    def refuse_cursor_of_another_order(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Reject a cursor that another order gave."""
        # statistics take the filters, and have neither order nor pages
        if "cursor" in data and data["cursor"].count("-") != 1 + (not data["sort"].endswith("createdAt")):
            raise ValidationError("is not one that this list gave", "cursor")


class PromptLogQuery(PageQuery):
    """The prompt whose logs to list."""

    promptId = ForeignId(required=True, metadata={"description": "Logs of this prompt", "pattern": pattern("prompt")})
