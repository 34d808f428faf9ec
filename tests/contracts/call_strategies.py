"""Strategies of hypothesis for calls of an account, valid and invalid ones.

A call names what earlier answers have shown by kind and number, since the ids are not known beforehand: `@log2` is the
third log that anybody has heard of, or one that does not exist as long as there is none.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

Body = Mapping[str, Any]
Bodies = st.SearchStrategy[Body]
Calls = st.SearchStrategy["Call"]
JSON, LINES = "application/json", "application/x-ndjson"
_TYPE = {"Content-Type": JSON}
REFERENCE = re.compile("@(?P<kind>prompt|log|trace|experiment|etag|export|next|bens)(?P<number>[0-9])")


@dataclass(frozen=True)
class Call:
    """A request; `later` is how many milliseconds after the one before it comes."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    later: int = 0

    @property
    def text(self) -> str | None:
        """The body: text unchanged, anything else as JSON."""
        return self.body if self.body is None or isinstance(self.body, str) else json.dumps(self.body)


def _path(path: str, **query: Any) -> str:
    return f"{path}?{urlencode(query, safe='@')}" if query else path


def _queries(path: str | st.SearchStrategy[str], **parameters: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    """Return addresses of the path with some of the parameters."""
    paths = st.just(path) if isinstance(path, str) else path
    # few at once: hardly any row matches many filters together
    names = st.lists(st.sampled_from(sorted(parameters)), max_size=3, unique=True)
    chosen = names.flatmap(lambda some: st.fixed_dictionaries({name: parameters[name] for name in some}))
    return st.builds(lambda path, query: _path(path, **query), paths, chosen)


def _search(path: str, words: str, page: Mapping[str, Any]) -> str:
    return _path(path, q=words, **page)


def _references(kind: str) -> st.SearchStrategy[str]:
    return st.integers(0, 3).map(lambda number: f"@{kind}{number}")


def _spoil(body: Body, name: str, value: Any) -> Body:
    return {**body, name: value}


def _bodies(required: Mapping[str, Any], optional: Mapping[str, Any]) -> Bodies:
    """Return bodies, of which one in ten has an unusual or invalid value."""
    sane = st.fixed_dictionaries(dict(required), optional=dict(optional))
    names = st.sampled_from([*required, *optional, "unknown"])
    return _mostly(sane, st.builds(_spoil, sane, names, st.deferred(lambda: ODD)))


def _mostly(sane: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    # not `one_of`, which would give each alternative inside them the same chance
    return st.integers(0, 9).flatmap(lambda chance: odd if chance == 9 else sane)


# Words that databases, tokenizers and tables of Unicode might take differently
_RARE = st.sampled_from(
    [
        *("a", "photo", "PHOTO", "photosynthesis", "b", "Ä", "a\u0308", "ß", "SS", "ẞ", "İ", "i", "ı", "ﬁ", "fi", "ς"),
        *("ΣΊΣΥΦΟΣ", "京", "京都", "東京都", "カ", "ｶﾞ", "สวัสดี", "한국", "שלום", "مرحبا", "ﷺ", "🌱", "👩‍🔬", "🏳️‍🌈"),
        *("Ａ", "９", "٣", "½", "Ⅳ", "²", "a_b", "100%", "\\", "'", '"', "*", "ph*", "-a", "OR", "NOT", "{{age}}"),
        *("=1+1", "@x", "\u200b", "\u2028", "\x1f", "\x7f", "\ufeff", "\ue000", "\U0010ffff", "\r\n", "\t", "<br>"),
        *("word" * 20, "NULL", "\\u0000", "0", "-0", "1e5", "é" * 70),
    ]
)
WORDS = st.sampled_from(["photo", "Photos", "京都", "b"]) | _RARE  # the same often enough to be found
TEXT = st.one_of(
    st.lists(WORDS, min_size=1, max_size=4).map(" ".join),
    st.lists(WORDS, min_size=1, max_size=4).map("".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12),
)
MODELS = st.just("gpt-4o") | st.sampled_from(
    ["gpt-4o", "GPT-4o", "gpt 4o", "Ä", "a", "_", "\U0001f331", "x" * 200, "\U0001f331" * 200]
)
NUMBERS = st.one_of(
    st.sampled_from([0, 1, 2.5, 9.0, 10, -0.0, 0.1, 0.2, 0.3, 1 / 3, 1e-300, 5e-324, 2.2250738585072014e-308, 1e300]),
    st.sampled_from([1.7976931348623157e308, 1e100, 1e22, 1e21, 123456789012345.6, 2**53 + 1, 2**63, 2**64 - 1]),
    st.floats(0, 1e6),
    st.floats(min_value=0, allow_infinity=False),
    st.integers(0, 2**40),
)
SCORES = st.one_of(
    st.sampled_from([7.1, 7.2, 0, 9.0]),
    st.sampled_from([10, -0.0, 5e-324, 1e-300, 1e-16, 9.999999999999998]),
    st.floats(0, 10),
)
TIMES = st.one_of(
    st.sampled_from(["2024-06-20T13:10:00Z", "2024-06-20T13:10:00.0009Z", "2024-06-20T15:10:00.25+02:00"]),
    st.sampled_from(["9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999-01:00"]),
    st.sampled_from(["1970-01-01", "1970-01-01T00:00:00+01:00", "2024-02-30", "2024-06-20 13:10", "24-06-20"]),
    st.sampled_from([0, 0.0009, 1718889000, 1718889000.123, 99999999999.9, 100000000000, 253402300799999]),
    st.integers(1718888999_990, 1718889010_010),
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.integers(-(2**70), 2**70) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=3)
ODD = st.one_of(
    st.none(),
    st.sampled_from(["", " ", "\x00", "a\x00b", "\ud83d", "\ude00\ud83d", "x" * 3000, "\U0001f331" * 1000, "\u2003"]),
    st.sampled_from([-1, 0, 11, 1.5, 2**31, 2**63, 2**64, 10**400, -(2**63) - 1, 1e308, -1e-320, True]),
    st.sampled_from([[], {}, [[]], [None], ["a", 1], {"a": "\x00"}, {"\ud83d": 1}, [{}], ["a", "a", "b"]]),
    VALUES,
)
NO_BODIES = st.sampled_from(["", "{", "null", '{"a":1,"a":2}', '{"a":NaN}', '{"a":1e999}', "[" * 200, '{"\ud800":1}'])
LABELS = st.sampled_from(["production", "a", "B", "b", "A.1", "a-1", "a_1", "latest", "1", "é", "x" * 65])
VERSIONS = st.sampled_from(["1", "2", "latest", "production", "a", "0", "01", "3", "9999999999", "-1", "ä"])
SLUGS = st.sampled_from(["p", "p", "p", "p-2", "a-title", "explain", "photo", "-", "0", "p/a", "p/a/b", "p-2/0"])
PER_PAGE = st.sampled_from([1, 2, 3, 1000, 1, 2, 0, 1001, "x", "99999999999999999999"])
# The last number is a sequence number, which differs between databases: use only ones before or after all rows
CURSORS = st.sampled_from(
    [
        *("1718889000000-0", "0-0", "99999999999999-999999999999999999", "5-1718889000000-0", "9-0-0", "1", "-1"),
        *("9999999999999999999-1718889000000-0", "0-1718889000000-0", "4611686018427387905-1718889000000-0", "x"),
        *("4611686018427387904-99999999999999-0", "1718889000000-9223372036854775808", "1-2-3-4", "999999999", "--"),
    ]
)
FORMS = st.sampled_from([{}, {}, {}, {"Accept": "text/csv"}, {"Accept": LINES}, {"Accept": "text/markdown"}])
IDS = st.sampled_from(["prompt_1", "prompt", "log1", "log_", "log_é", "x", "trace_" + "z" * 40, "batch"])
PROMPT, LOG, TRACE, EXPERIMENT = (_references(kind) for kind in ("prompt", "log", "trace", "experiment"))
ANY_ID = st.one_of(PROMPT, LOG, TRACE, EXPERIMENT, IDS, _references("bens"))
PROMPT_ID, LOG_ID, TRACE_ID = (_mostly(known, ANY_ID) for known in (PROMPT, LOG, TRACE))
TITLES = st.sampled_from(["A title", "Explain", "Äpfel", "Exp lain!", "京都の", "-- -", "x" * 100, "ﷺ" * 100])
TAGS = st.lists(st.one_of(WORDS, st.sampled_from(["a", "b", "\U0001f331" * 100, " a"])), max_size=3)
PROMPT_FIELDS = {"title": TITLES | TEXT, "content": TEXT, "model": MODELS}
NEW_PROMPTS = _bodies(PROMPT_FIELDS, {"tags": TAGS, "slug": SLUGS})
PROMPT_CHANGES = _bodies({}, {**PROMPT_FIELDS, "tags": TAGS, "slug": SLUGS})
JSON_OR_TEXT = TEXT | OBJECTS | st.lists(VALUES, max_size=2)
FIGURES = {
    **{"startTime": TIMES, "endTime": TIMES, "inputTokens": NUMBERS, "outputTokens": NUMBERS, "cost": NUMBERS},
    **{"metadata": OBJECTS, "input": JSON_OR_TEXT, "idealOutput": JSON_OR_TEXT},
}
OUTCOMES = st.sampled_from(["ok", "error", "failed"])
MEMBERS = st.dictionaries(WORDS, VALUES, max_size=3)
NEW_LOGS = _bodies(
    {"promptId": PROMPT_ID, "output": TEXT, "modelUsed": MODELS},
    {
        **{"notes": TEXT, "score": SCORES, "promptVersion": st.integers(1, 3), "variables": OBJECTS},
        **{"latencyMs": NUMBERS, **FIGURES, "status": OUTCOMES, "userId": WORDS, "metadata": MEMBERS},
    },
)
LOG_CHANGES = _bodies({}, {"notes": st.none() | TEXT, "score": st.none() | SCORES})
BATCHES = st.lists(_mostly(NEW_LOGS, ODD), max_size=5)
EXPERIMENTS = _mostly(st.just("exp"), st.sampled_from(["Exp", "a.b~_-", "x" * 120, "-"]))
KEYS = st.sampled_from(["A", "B", "a", "ä", "\U0001f331" * 200, "b\n"])
SHARES = st.sampled_from([0, 50, 100, 1.0])
_VARIANT = _bodies({"key": KEYS, "trafficPercent": SHARES}, {"payload": OBJECTS, "promptId": PROMPT_ID})
VARIANTS = st.lists(_VARIANT, min_size=1, max_size=3)
STATUSES = st.sampled_from(["ACTIVE", "DRAFT", "active"])
EXPERIMENT_FIELDS = {"name": TEXT, "status": STATUSES, "variants": VARIANTS}
METRICS = st.dictionaries(st.sampled_from(["a", "B", "ä"]), NUMBERS | NUMBERS.map(lambda n: -n) | VALUES, max_size=3)
RESULTS = _bodies({"variantKey": KEYS}, {"metrics": METRICS, "context": OBJECTS, "input": OBJECTS, "output": OBJECTS})
SLUG = {"slug": SLUGS | TEXT}
NAMES = {"version": st.sampled_from(["1.0.0", "2", "9", ""]), "tag": LABELS}
VARIABLES = st.lists(_bodies({"label": TEXT}, {"value": TEXT}), max_size=2)
WHO = {"organization": OBJECTS, "user": OBJECTS, "name": TEXT}
OUTPUTS = _bodies({"output": JSON_OR_TEXT, **SLUG}, {**NAMES, **FIGURES, **WHO, "variables": VARIABLES})
SPANS = _bodies(
    {"id": TEXT, "type": st.sampled_from(["generation", "generation", "span", "tool"])},
    {
        **{"prompt": _bodies(SLUG, NAMES), "output": JSON_OR_TEXT, "parentId": TEXT, "name": TEXT},
        **{"evaluators": st.lists(VALUES, max_size=2), "variables": VARIABLES, **FIGURES},
    },
)
TRACES = _bodies(
    {"featureSlug": TEXT},
    {
        **{"logs": st.lists(SPANS, max_size=4), "experiment": st.fixed_dictionaries({"id": EXPERIMENT | TEXT})},
        **{"output": JSON_OR_TEXT, "input": JSON_OR_TEXT, **WHO, "evaluationConfig": OBJECTS, "startTime": TIMES},
    },
)


def _gets(addresses: st.SearchStrategy[str], headers: st.SearchStrategy[Any] | None = None) -> Calls:
    return st.builds(Call, st.just("GET"), addresses, headers=st.just({}) if headers is None else headers)


def _sends(
    method: str, path: str | st.SearchStrategy[str], bodies: st.SearchStrategy[Any], headers: Any = None
) -> Calls:
    paths = st.just(path) if isinstance(path, str) else path
    types = st.just(_TYPE) if headers is None else headers.map(lambda some: {**_TYPE, **some})
    return st.builds(Call, st.just(method), paths, bodies, types, st.sampled_from([0, 0, 1, 1000, 60_000, 90_000_000]))


def _deletes(paths: st.SearchStrategy[str], headers: Any = None) -> Calls:
    return st.builds(Call, st.just("DELETE"), paths, headers=st.just({}) if headers is None else headers)


def _write_lines(items: Sequence[Any]) -> str:
    return "\n".join(map(json.dumps, items))


def _under(ids: st.SearchStrategy[str], path: str) -> st.SearchStrategy[str]:
    return ids.map(lambda id: path.format(id))


RETRIES = st.sampled_from([{}, {}, {"Idempotency-Key": "k"}, {"Idempotency-Key": "K"}, {"Idempotency-Key": "é"}])
MATCHES = st.sampled_from([{}, {}, {"If-Match": '"@etag0"'}, {"If-Match": '"@etag3"'}, {"If-Match": '"x"'}])
KNOWN = st.sampled_from([{}, {"If-None-Match": '"@etag0"'}, {"If-None-Match": '"@etag3"'}])
PAGE = {"per_page": PER_PAGE, "cursor": CURSORS}
_PAGE = st.fixed_dictionaries({}, optional=PAGE)
SINCE = {"since": TIMES.map(str), "until": TIMES.map(str)}
_FLAGS = st.sampled_from(["true", "false", "1"])
_PIECES = st.builds("{}{}{}".format, st.sampled_from(["", "-", '"', '-"']), TEXT, st.sampled_from(["", "*", '"']))
_LISTED = {
    **{**PAGE, **SINCE, "promptId": PROMPT_ID, "promptVersion": VERSIONS, "model": MODELS | TEXT, "q": TEXT},
    **{"sort": st.sampled_from(["score", "-score", "createdAt", "-createdAt", "name", "worst", "best"])},
    **{"minScore": SCORES.map(str), "maxScore": SCORES.map(str)},
    **{"source": st.sampled_from(["promptcrafter", "basalt", "agenttest", "llm", "x"])},
}
_CHOSEN = {
    **{"scored": _FLAGS, "hasNotes": _FLAGS, "status": OUTCOMES, "userId": WORDS, "tag": WORDS, "label": LABELS},
    **{"metadata.photo": VALUES.map(str), "metadata.京都": TEXT, "metadata.b": NUMBERS.map(str)},
    **{"q": st.lists(_PIECES, min_size=1, max_size=3).map(" ".join), "in": st.sampled_from(["output", "notes", "x"])},
    **{
        "model": MODELS.map("{}*".format),
        "per_page": PER_PAGE,
        "sort": st.sampled_from(["worst", "best", "createdAt"]),
    },
}
GROUPINGS = st.sampled_from(
    ["model", "version", "model,version", "version,model", "name", "prompt,day", "label", "week,author", "metadata.a"]
)
_EXPERIMENT = _under(EXPERIMENTS, "/experiments/{}")
_PUBLISH = _bodies({"newTag": LABELS}, {"version": NAMES["version"], "tag": LABELS})
_VERSION = st.builds("/prompts/{}/versions/{}".format, PROMPT_ID, VERSIONS)
_LABEL = st.builds("/prompts/{}/labels/{}".format, PROMPT_ID, LABELS)
# Named twice where hypothesis should choose it more often
PROMPT_CALLS: list[Calls] = [
    _sends("POST", "/prompts", NEW_PROMPTS, RETRIES),
    _sends("POST", "/prompts", NEW_PROMPTS, RETRIES),
    _sends("POST", "/prompts", NO_BODIES),
    _sends("PATCH", _under(PROMPT_ID, "/prompts/{}"), PROMPT_CHANGES, MATCHES),
    _sends("PUT", _LABEL, _bodies({"version": st.integers(1, 3)}, {})),
    _deletes(_LABEL),
    _deletes(_under(PROMPT_ID, "/prompts/{}"), MATCHES),
    _sends("POST", st.builds("{}/restore".format, _VERSION), st.none(), RETRIES),
    _sends("POST", _under(PROMPT_ID, "/prompts/{}/render"), _bodies({"variables": OBJECTS}, {"version": VERSIONS})),
    _gets(_queries("/prompts", **PAGE, model=MODELS | TEXT, tag=WORDS, slug=SLUGS, folder=SLUGS, label=LABELS), FORMS),
    _gets(_queries("/tags", per_page=PER_PAGE), FORMS),
    _gets(_under(PROMPT_ID, "/prompts/{}"), KNOWN),
    _gets(_queries(_under(PROMPT_ID, "/prompts/{}/versions"), **PAGE), FORMS),
    _gets(_VERSION, KNOWN),
    _gets(_under(SLUGS, "/prompts/by-slug/{}"), KNOWN),
    _gets(st.builds("/prompts/by-slug/{}/versions/{}".format, SLUGS, VERSIONS), KNOWN),
    _gets(st.builds("/prompts/{}/diff?from={}&to={}".format, PROMPT_ID, VERSIONS, VERSIONS)),
    _gets(st.builds(_search, st.just("/search"), TEXT, _PAGE), FORMS),
]
LOG_CALLS: list[Calls] = [
    _sends("POST", "/logs", NEW_LOGS, RETRIES),
    _sends("POST", "/logs", NEW_LOGS, RETRIES),
    _sends("POST", "/logs/batch", _bodies({"logs": BATCHES}, {}), RETRIES),
    _sends("POST", "/logs/batch", BATCHES.map(_write_lines), st.just({"Content-Type": LINES})),
    _sends("PATCH", _under(LOG_ID, "/logs/{}"), LOG_CHANGES),
    _deletes(_under(LOG_ID, "/logs/{}")),
    _gets(_queries("/logs", **_LISTED), FORMS),
    _gets(_queries("/logs", **_LISTED), FORMS),
    _gets(_queries("/logs", **_CHOSEN), FORMS),
    _gets(_queries("/logs", **_CHOSEN), FORMS),
    _gets(st.builds(_search, st.just("/logs"), TEXT, _PAGE), FORMS),
    _gets(_queries("/logs-by-prompt", promptId=PROMPT_ID, **PAGE), FORMS),
    _gets(_under(LOG_ID, "/logs/{}")),
    _gets(_queries(_under(PROMPT_ID, "/prompts/{}/stats"), **SINCE, groupBy=GROUPINGS), FORMS),
    _gets(_queries("/stats", **SINCE, groupBy=GROUPINGS), FORMS),
    _gets(st.lists(LOG_ID, min_size=1, max_size=6).map(lambda ids: _path("/compare", logs=",".join(ids))), FORMS),
]
OTHER_CALLS: list[Calls] = [
    _sends("POST", "/experiments", _bodies({"slug": EXPERIMENTS, **EXPERIMENT_FIELDS}, {}), RETRIES),
    _sends("POST", "/experiments", _bodies({"slug": EXPERIMENTS, **EXPERIMENT_FIELDS}, {}), RETRIES),
    _sends("PATCH", _EXPERIMENT, _bodies({}, EXPERIMENT_FIELDS)),
    _deletes(_EXPERIMENT),
    _sends("POST", _under(EXPERIMENTS, "/experiment/{}/assign"), _bodies({"userId": TEXT}, {"context": OBJECTS})),
    _sends("POST", _under(EXPERIMENTS, "/experiment/{}/log"), RESULTS, RETRIES),
    _sends("POST", _under(EXPERIMENTS, "/experiment/{}/log"), RESULTS, RETRIES),
    _gets(_queries("/experiments", **PAGE), FORMS),
    _gets(_queries(_under(EXPERIMENTS, "/experiments/{}/logs"), **PAGE, variantKey=KEYS), FORMS),
    _gets(_under(EXPERIMENTS, "/experiments/{}/results")),
    _sends("POST", "/monitor/log", OUTPUTS, RETRIES),
    _sends("POST", "/basalt/monitor/trace", TRACES, RETRIES),
    _sends("POST", "/basalt/monitor/experiments", _bodies({"featureSlug": TEXT, "name": TEXT}, {})),
    _gets(_queries("/basalt/prompts", featureSlug=WORDS)),
    _gets(_queries(_under(SLUGS, "/basalt/prompts/{}"), version=NAMES["version"], tag=LABELS)),
    _gets(_under(SLUGS, "/basalt/prompts/{}/describe")),
    _sends("POST", _under(SLUGS, "/basalt/prompts/{}/publish"), _PUBLISH),
    _gets(_queries("/traces", **PAGE, sort=st.sampled_from(("-cost", "duration", "createdAt"))), FORMS),
    _gets(_under(TRACE_ID, "/traces/{}")),
    _gets(_under(TRACE_ID, "/traces/{}/tree")),
    _deletes(_under(TRACE_ID, "/traces/{}")),
    st.just(Call("GET", "/export")),
    _sends("POST", "/import", st.just("@export0"), st.just({"Content-Type": LINES})),
]
_SOME = st.lists(st.one_of(*PROMPT_CALLS, *LOG_CALLS, *OTHER_CALLS), min_size=1, max_size=8)
# Lists of lists: longer than one list would be on average, and yet short when hypothesis has found what matters
CALLS = st.lists(_SOME, min_size=1, max_size=8).map(lambda lists: [*chain.from_iterable(lists)])
# Calls that create data first: without it, most calls would find nothing
_TO_LOG = {"promptId": "@prompt0", "output": "A photo of 京都", "modelUsed": "gpt-4o"}
_TO_TRY = [{"key": "A", "trafficPercent": 50}, {"key": "B", "trafficPercent": 50, "promptId": "@prompt0"}]
BEGINNING = [
    Call("POST", "/prompts", {"title": "A title", "content": "Some {{age}}", "model": "gpt-4o", "slug": "p"}, _TYPE),
    Call("PATCH", "/prompts/@prompt0", {"content": "Some more {{age}}"}, _TYPE),
    Call("POST", "/logs", {**_TO_LOG, "score": 7.1}, _TYPE),
    Call("POST", "/logs", {**_TO_LOG, "promptVersion": 1, "notes": "b"}, _TYPE),
    Call("POST", "/monitor/log", {"slug": "p", "tag": "latest", "output": {"a": 1}}, _TYPE),
    Call("POST", "/experiments", {"slug": "exp", "name": "Exp", "status": "ACTIVE", "variants": _TO_TRY}, _TYPE),
    Call("GET", "/export"),
]
# What is looked at in the end, whatever has been called
END = [
    Call("GET", path)
    for path in [
        *("/prompts?tag=b", "/prompts?tag=photo", "/search?q=photo+b", "/traces", "/experiments", "/export"),
        *("/logs?sort=score&per_page=2", "/logs?sort=-score&minScore=7.1", "/logs?maxScore=7.1", "/logs?q=photo*"),
        *("/prompts/@prompt0/stats?groupBy=model,version", "/experiments/exp/logs", "/experiments/exp/results"),
    ]
]
