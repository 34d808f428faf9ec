"""The columns of a trace of OpenTelemetry, computed from the values that its spans give. Pure functions.

Spans arrive in any order, several times and in pieces, and the trace must not depend on that. So each of its columns
has a rule that chooses among the values in its spans, independent of their order of arrival: the run began with its
first span and ended with its last one; for every other column the value of the root counts, or else that of the span
that began first.

For example, the span `b` (began at 10:00:02, user "ada") arrives first: the trace has the user "ada", of the rank
"1<10:00:02>b". Then the root `a` (began at 10:00:00, user "grace") arrives with the rank "0<10:00:00>a", which is lower
and so counts: the user becomes "grace". If `b` is sent again, its rank is not lower, and nothing changes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from promptcrafter import clock

# The columns that a span may give, besides times and status
_GIVEN = ("slug", "name", "user_id", "session_id", "input", "output", "meta", "organization", "user")
_BY_ROOT, _BY_OTHER, _DERIVED = "0", "1", "2"  # ranks of values, the first counts; `_DERIVED`: the root span's own name
_ROOT = "root"  # the key of the root in `said_by`, beside the names of columns
_UNKNOWN_START = "9" * 15
COLUMNS_FROM_SPANS = (*_GIVEN, "start_time", "end_time", "duration_ms", "status", "root_span_id", "said_by")


def compute_changes(
    trace: Mapping[str, Any], values_of_spans: Iterable[tuple[str, Mapping[str, Any]]]
) -> dict[str, Any]:
    """Return the columns of `trace` that change by spans, with their new values.

    `values_of_spans` are pairs of a span's id and the values that it gives to its trace: any of `COLUMNS_FROM_SPANS`
    but the duration and `said_by`; `root_name`, the name of the trace if no span gives one; and, only in the root span,
    `root_span_id`, its own id. The column `said_by` has, for each column, the rank of the value that it has now.
    """
    changes: dict[str, Any] = {}
    said_by = dict(trace.get("said_by") or {})

    def current(name: str) -> Any:
        return changes.get(name, trace.get(name))

    def give(name: str, value: Any, rank: str) -> None:
        if value is not None and rank <= said_by.get(name, rank):
            changes[name], said_by[name] = value, rank

    for span_id, values in values_of_spans:
        start = values.get("start_time")
        place = f"{_UNKNOWN_START if start is None else f'{clock.to_number(start):015d}'}{span_id}"
        is_root = values.get("root_span_id") is not None
        for name in _GIVEN:
            give(name, values.get(name), f"{_BY_ROOT if is_root else _BY_OTHER}{place}")
        give("name", values.get("root_name"), f"{_DERIVED}{place}")
        has_failed = values.get("status") is not None
        if is_root and current("root_span_id") == span_id:  # again: a failure stays
            changes |= {"status": values["status"]} if has_failed else {}
            said_by[_ROOT] = min(place, said_by.get(_ROOT, place))
        elif is_root and place < said_by.get(_ROOT, f"{_UNKNOWN_START}~"):
            changes |= {"root_span_id": span_id, "status": values.get("status")}
            said_by[_ROOT] = place
        elif has_failed and _ROOT not in said_by:  # until the root says how the run ended
            changes["status"] = values["status"]
        for name, choose in (("start_time", min), ("end_time", max)):
            times = [time for time in (current(name), values.get(name)) if time is not None]
            if times:
                changes[name] = choose(times)
    changes["duration_ms"] = clock.measure_ms(current("start_time"), current("end_time"))
    changes["said_by"] = said_by
    return {name: value for name, value in changes.items() if value != trace.get(name)}
