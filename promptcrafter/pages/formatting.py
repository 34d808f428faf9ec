"""How numbers, times and ids are written on pages. Pure functions, used as filters of templates."""

import json
import math
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any

from markupsafe import Markup, escape

from promptcrafter import clock
from promptcrafter.logs.hits import Span, find_hits
from promptcrafter.prompts.render import VARIABLE

_NONE = "–"
_STEPS = ((60, "second"), (60, "minute"), (24, "hour"), (7, "day"), (5, "week"))
_WHITE = re.compile(r"\s+")
_DECIMALS_MAX = 8
_ID_SHOWN = 6  # characters of the end of an id
_WHOLE_CENTS, _SMALLEST_COST = 1, 0.00005  # dollars: from here on two decimals, and below four decimals round to zero
_WRITTEN_OUT = 1e15  # from here on numbers have an exponent: a float can have 309 digits
_LOOSE = " \n\t,;:–-("  # what an excerpt does not end with


def when(moment: datetime | None) -> Markup | str:
    """Return how long ago a time was, or in how long it is, with the time itself in a title."""
    if moment is None:
        return _NONE
    text = clock.to_text(moment)
    html = f'<time datetime="{text}" title="{text[:10]} {text[11:19]} UTC">{_ago(moment)}</time>'
    return Markup(html)  # noqa: S704 - there are only digits and our own words in it


def _ago(moment: datetime) -> str:
    seconds = (clock.now() - moment).total_seconds()
    amount = abs(seconds)
    if amount < 5:
        return "just now"
    for size, name in _STEPS:
        if amount < size:
            count = int(amount)
            text = f"{count} {name}{'s' * (count != 1)}"
            return f"{text} ago" if seconds > 0 else f"in {text}"
        amount /= size
    return f"{moment:%d %b %Y}".lstrip("0")


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with so many decimals at most, and with a minus that is as wide as a plus.

    A small one has two significant digits, unless it is to be whole: 0.003 is not 0. A very large one has an exponent.
    """
    if value is None:
        return _NONE
    if abs(value) >= _WRITTEN_OUT:
        return _with_exponent(value)
    if digits and 0 < abs(value) < 0.1:
        digits = min(_DECIMALS_MAX, max(digits, 1 - math.floor(math.log10(abs(value)))))
    if value == int(value):
        return f"{int(value):,}".replace("-", "−")
    text = f"{value:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:,.0f}"
    return "0" if text == "-0" else text.replace("-", "−")


def _with_exponent(value: float) -> str:
    return f"{value:.3g}".replace("e+", "e").replace("-", "−")


def mean(value: float | None, digits: int = 2) -> str:
    """Return a mean, or an end of its interval, for a column of them: with the same decimals in each row.

    What would be zero then, or is very large, is written as `number` does.
    """
    if value is None or 0 < abs(value) < 0.1 or abs(value) >= _WRITTEN_OUT:
        return number(value, digits)
    return f"{value:,.{digits}f}".replace("-", "−")


def period(name: str) -> str:
    """Return the name of a day, an ISO week or a month as an axis has it: the first day, or the month."""
    if "W" in name:
        day = date.fromisocalendar(int(name[:4]), int(name[6:]), 1)
    elif len(name) == len("2026-06"):
        return f"{date.fromisoformat(f'{name}-01'):%b %Y}"
    else:
        day = date.fromisoformat(name)
    return f"{day:%d %b}".lstrip("0")


def signed(value: float) -> str:
    """Return a difference, with a plus if it is above zero."""
    text = number(value)
    return f"+{text}" if value > 0 and text != "0" else text


def file_size(count: int) -> str:
    """Return a number of bytes in the unit that reads best, with three significant digits."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{number(size)} TB"


def money(value: float | None) -> str:
    """Return US dollars with three significant digits."""
    if value is None:
        return _NONE
    if value == 0:
        return "$0"
    if abs(value) >= _WRITTEN_OUT:
        return f"${_with_exponent(value)}"
    decimals = max(2, 2 - math.floor(math.log10(abs(value))))
    return f"${value:,.{min(decimals, 8)}f}"


def cost(value: float | None) -> Markup | str:
    """Return US dollars for a column of them, with the same decimals in each row and the exact value in a title.

    What would be `$0.0000` is `<$0.0001`.
    """
    if not value or abs(value) >= _WRITTEN_OUT:
        return money(value)
    text = f"${value:,.4f}" if abs(value) < _WHOLE_CENTS else f"${value:,.2f}"
    if 0 < value < _SMALLEST_COST:
        text = "<$0.0001"
    exact = f"${value:,.12f}".rstrip("0").rstrip(".")
    return Markup('<span title="{}">{}</span>').format(exact, text)


def duration(milliseconds: float | None) -> str:
    """Return a duration in the unit that reads best, with the same digits for all seconds of a column."""
    if milliseconds is None:
        return _NONE
    if milliseconds < 1000:
        return f"{number(milliseconds, 0 if milliseconds >= 10 else 1)} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:#.3g} s"
    if seconds >= _WRITTEN_OUT:
        return f"{_with_exponent(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def short_id(public_id: str) -> Markup:
    """Return the end of an id with the whole one in a title, and the button with which a script copies that."""
    return Markup(
        '<span class="id"><code title="{0}">…{1}</code>'
        '<button type="button" class="link copy" data-copy-text="{0}" aria-label="Copy the id" hidden>Copy</button>'
        "</span>"
    ).format(public_id, public_id[-_ID_SHOWN:])


def excerpt(text: str | None, maximum: int = 200) -> str:
    """Return the beginning of a text on one line, which ends with a word."""
    if not text:
        return ""
    line = " ".join(text[: maximum * 2].split())
    if len(line) <= maximum and len(text) <= maximum * 2:
        return line
    return f"{line[: find_cut(line, maximum)].rstrip('.')}…"  # no four dots


def find_cut(text: str, maximum: int) -> int:
    """Return where a text of at most so many characters ends: behind a word, unless that is a very long one."""
    if len(text) <= maximum:
        return len(text)
    blank = max(text.rfind(white, 0, maximum + 1) for white in " \n\t")
    end = blank if blank >= maximum * 2 // 3 else maximum
    return len(text[:end].rstrip(_LOOSE))


def excerpt_around_hit(text: str | None, pattern: re.Pattern[str] | None, maximum: int = 160) -> Markup:
    """Return about `maximum` characters around the first hit of a search, on one line, with the hits marked.

    Without a hit it is empty.
    """
    spans = find_hits(pattern, text) if text else []
    if not text or not spans:
        return Markup("")
    begin = _find_begin(text, spans[0][0], maximum)
    end = max(begin + find_cut(text[begin:], maximum), spans[0][1])
    shown = [(start - begin, stop - begin) for start, stop in spans if stop <= end]
    marked = _mark(text[begin:end].rstrip(), shown, _to_one_line)
    return Markup("{}{}{}").format("…" * (begin > 0), marked, "…" * (end < len(text)))


def _find_begin(text: str, hit: int, maximum: int) -> int:
    """Return where the excerpt begins: at a word, so that the hit is in its first half."""
    if hit < maximum // 2:
        return 0
    begin = hit - maximum // 3
    blank = text.find(" ", begin, hit)
    return begin if blank < 0 else blank + 1


def _to_one_line(text: str) -> str:
    return _WHITE.sub(" ", text)


def mark_hits(text: str | None, pattern: re.Pattern[str] | None) -> Markup:
    """Return a whole text with the hits of a search marked."""
    return _mark(text or "", find_hits(pattern, text or ""))


def _mark(text: str, spans: Iterable[Span], write: Callable[[str], str] = str) -> Markup:
    """Return a text, escaped, with the characters of each span in a `mark`. `write` converts what is between them."""
    pieces, last = [], 0
    for start, stop in spans:
        pieces += [escape(write(text[last:start])), Markup("<mark>{}</mark>").format(text[start:stop])]
        last = stop
    return Markup("").join([*pieces, escape(write(text[last:]))])


def write_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON to read: with the characters themselves, which the template escapes as those of a text."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def sentence(text: str) -> str:
    """Return a text with a capital letter at its beginning; `capitalize` would make the others small."""
    return text[:1].upper() + text[1:]


def variables(content: str) -> Markup:
    """Return a text with its variables marked."""
    pieces, last = [], 0
    for match in VARIABLE.finditer(content):
        pieces.append(escape(content[last : match.start()]))
        pieces.append(Markup('<mark class="variable">{}</mark>').format(match[0]))
        last = match.end()
    return Markup("").join([*pieces, escape(content[last:])])


FILTERS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (
        when,
        number,
        mean,
        signed,
        file_size,
        money,
        cost,
        duration,
        short_id,
        excerpt,
        sentence,
        write_json,
        variables,
        excerpt_around_hit,
        mark_hits,
    )
}
