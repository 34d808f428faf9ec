"""From the loaded query of a call to the filters of `store.find_logs`: what names stand for, and texts to look into.

Whatever is about chosen logs goes this way: the list, and what else has the fields of `schemas.LogFilters`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Result, Row, Select

from promptcrafter.database.deadline import TookTooLong, sqlite_deadline
from promptcrafter.database.keyset import Order
from promptcrafter.database.session import STREAM_ROWS, request_session
from promptcrafter.http.page_query import DEFAULT_PER_PAGE
from promptcrafter.logs import phrases, search, store
from promptcrafter.logs.models import Log
from promptcrafter.logs.questions import DEFAULT_TEXTS, INPUT, NOTES, OUTPUT, find_question
from promptcrafter.problems import Invalid, Problem
from promptcrafter.prompts import store as prompts
from promptcrafter.prompts import version_store
from promptcrafter.workspaces.principal import Principal

CANDIDATES_MAX = 10_000  # logs whose texts are read for one page
PAGE_S = 10.0  # that SQLite may take for a page
_CHARACTERS_MAX = 50_000_000  # of these texts
_READ: dict[str, Callable[[Row[Any]], str | None]] = {
    OUTPUT: lambda row: row.output,
    NOTES: lambda row: row.notes,
    INPUT: lambda row: find_question(row.input, row.input_format),
}


@contextmanager
def limit_page(query: Mapping[str, Any]) -> Iterator[None]:
    """Raise 400 if SQLite takes too long for the page that is read in the block: it would read too many logs for it.

    A list without pages reads all logs anyway, and is not limited.
    """
    if not _is_page(query):
        yield
        return
    try:
        with sqlite_deadline(PAGE_S):
            yield
    except TookTooLong as error:
        message = "Too many logs have to be read for this page. Narrow it by filters such as since, promptId or userId."
        raise Problem(400, message, "too_many_logs") from error


def resolve(principal: Principal, query: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the filters that a loaded query stands for, and what its names stood for, for the link to the next page.

    A None there is a parameter that the link must not have.

    With `per_page` or `cursor` the filters may be for that page alone. Raises 400, 403 or 404 for the prompt, 404 for
    an unknown label of it, and 400 for words that cannot be searched for.
    """
    filters = dict(query)
    resolved: dict[str, Any] = {}
    if "promptId" in query:
        prompts.refuse_prompt_not_owned(principal, query["promptId"])
        name = query.get("promptVersion", query.get("label"))
        if isinstance(name, str):
            filters["promptVersion"] = version_store.get_version_number(query["promptId"], name)
            filters.pop("label", None)
            resolved = {"promptVersion": filters["promptVersion"], **({"label": None} if "label" in query else {})}
    if "q" not in query:
        return filters, resolved
    words = _parse_words(query["q"])
    filters["q"] = words.terms
    texts = query.get("texts", DEFAULT_TEXTS)
    # the index does not tell output and notes apart
    if (OUTPUT in texts) is not (NOTES in texts):
        words = words.requiring_terms()
    if words.is_indexed:
        return filters, resolved
    order = store.order_logs(filters)
    found = _look_into_texts(store.find_logs(principal, filters), order, words, query)
    return {"found": found, "sort": query.get("sort")}, resolved


def _parse_words(query: str) -> phrases.TextQuery:
    """Return the parsed query. Raises 400 if it has no word to look up, or too many."""
    words = phrases.parse(query)
    if words.excluded and not words.terms:
        raise Invalid({"q": ["must have a word that the logs contain, beside what is excluded"]})
    if not 0 < words.size <= search.MAX_WORDS:
        raise Invalid({"q": [f"must have 1 to {search.MAX_WORDS} words, which are letters, digits or symbols"]})
    return words


def _look_into_texts(
    candidates: Select[Log], order: Order, words: phrases.TextQuery, query: Mapping[str, Any]
) -> list[int]:
    """Return the sequence numbers of the candidates whose texts match: all, or those of the page and the next one.

    Raises 400 if there are too many candidates.
    """
    wanted = query.get("per_page", DEFAULT_PER_PAGE) + 1 if _is_page(query) else None
    page, _ = order.page(order.sort(candidates), query.get("cursor"), CANDIDATES_MAX + 1)
    columns = (Log.seq, Log.output, Log.notes, Log.input, Log.input_format)
    statement = page.with_only_columns(*columns).execution_options(yield_per=STREAM_ROWS)
    read = [_READ[name] for name in query.get("texts", DEFAULT_TEXTS)]
    session = request_session()
    result: Result[Any] = session.connection().execute(statement)
    found: list[int] = []
    number = characters = 0
    for rows in session.each_batch(result):
        for row in rows:
            texts = [text for text in (each(row) for each in read) if text]
            number += 1
            characters += sum(map(len, texts))
            if number > CANDIDATES_MAX or characters > _CHARACTERS_MAX:
                result.close()
                raise _too_many()
            if words.matches(texts):
                found.append(row.seq)
                if len(found) == wanted:
                    result.close()
                    return found
    return found


def _is_page(query: Mapping[str, Any]) -> bool:
    return "per_page" in query or "cursor" in query


def _too_many() -> Invalid:
    rule = f"needs a look at the texts of more than {CANDIDATES_MAX:,} logs, or at very long ones; narrow it by rarer "
    return Invalid({"q": [rule + "words or by filters such as since, promptId, model or userId"]})
