"""What the page of an output says in words, and the outputs beside it in its list."""

from collections.abc import Mapping
from typing import Any

from promptcrafter.database.keyset import write_cursor
from promptcrafter.logs import queries, store
from promptcrafter.logs.models import Log
from promptcrafter.pages.formatting import number
from promptcrafter.problems import Problem
from promptcrafter.workspaces.principal import Principal

# The orders that go the other way; `worst` has none
_REVERSED = {
    "-createdAt": "createdAt",
    "createdAt": "-createdAt",
    "-score": "score",
    "score": "-score",
    "best": "score",
}


def describe_tokens(log: Log) -> str:
    """Return the token counts of a call, with the parts that have prices of their own."""
    taken = _with_parts(
        log.input_tokens, (("from a cache", log.cached_input_tokens), ("to a cache", log.cache_write_tokens))
    )
    given = _with_parts(log.output_tokens, (("reasoning", log.reasoning_tokens),))
    return f"{taken} in, {given} out"


def _with_parts(whole: float | None, parts: tuple[tuple[str, float | None], ...]) -> str:
    known = [f"{number(count)} {name}" for name, count in parts if count]
    return f"{number(whole)} ({', '.join(known)})" if known else number(whole)


def describe_cost(log: Log) -> str:
    """Return where the cost of a call comes from: sent, or computed, and how; or why there is none."""
    priced: Mapping[str, Any] = log.priced or {}
    if "unpriced" in priced:
        return f"not computed: there is no price for its {priced['unpriced']} tokens"
    if log.cost is None:
        return "neither sent nor computed"
    if "cost" not in (log.computed or ()):
        return "as sent"
    entry = priced.get("entry", log.priced_as)
    text = "computed" + (f" with the price of {entry}" if entry else "")
    if "list" in priced:
        text += f" in {priced['list']}" + (f" of {priced['listDate']}" if "listDate" in priced else "")
    if "validFrom" in priced:
        text += f", valid from {priced['validFrom']}"
    return text + (f"; tokens {priced['tokens']}" if "tokens" in priced else "")


def find_neighbours(principal: Principal, query: Mapping[str, Any], log: Log) -> dict[str, str | None]:
    """Return the ids of the `previous` and the `next` output of the list from which this one was opened.

    One that would take too long to find, or that the order does not give, is left out.
    """
    found: dict[str, str | None] = {}
    for name, sort in (("next", query["sort"]), ("previous", _REVERSED.get(query["sort"]))):
        if sort is None:
            continue
        asked = {**query, "sort": sort, "per_page": 1}
        columns = store.order_logs(asked).columns
        asked["cursor"] = write_cursor([getattr(log, str(getattr(each, "key", ""))) for each in columns], columns)
        try:
            with queries.limit_page(asked):
                filters, _ = queries.resolve(principal, asked)
                order = store.order_logs(filters)
                page, _ = order.page(order.sort(store.find_logs(principal, filters)), asked["cursor"], 1)
                found[name] = store.get_id(page)
        except Problem:
            continue
    return found
