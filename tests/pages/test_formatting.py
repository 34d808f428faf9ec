"""How pages write numbers, times and texts."""

from datetime import UTC, datetime, timedelta

import pytest

from promptcrafter import clock
from promptcrafter.pages import formatting
from promptcrafter.prompts.search import make_pattern


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (3.0, "3"),
        (3.14159, "3.14"),
        (2.5, "2.5"),
        (1234567, "1,234,567"),
        (-0.5, "−0.5"),
        (0.0031, "0.0031"),
        (-0.00005, "−0.00005"),
        (1e-12, "0"),
        (0.098, "0.098"),
        (999_999_999_999_999, "999,999,999,999,999"),
        (1e15, "1e15"),
        (-1.7e308, "−1.7e308"),
    ],
)
def test_numbers_have_few_decimals(value: float | None, text: str) -> None:
    assert formatting.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "$0"),
        (0.00307, "$0.00307"),
        (1.5, "$1.50"),
        (1234.5, "$1,234.50"),
        (1e-12, "$0.00000000"),
        (1.7e308, "$1.7e308"),
    ],
)
def test_money_has_three_digits_that_say_something(value: float | None, text: str) -> None:
    assert formatting.money(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0000422, "&lt;$0.0001"), (0.00307, "$0.0031"), (0.00005, "$0.0001"), (0.5, "$0.5000"), (1234.5, "$1,234.50")],
)
def test_costs_in_a_column_have_the_same_decimals_and_the_exact_value_in_a_title(value: float, text: str) -> None:
    assert formatting.cost(value).endswith(f">{text}</span>")
    assert 'title="$0.0000422"' in formatting.cost(0.0000422)
    assert (formatting.cost(None), formatting.cost(0)) == ("–", "$0")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (3.25, "3.2 ms"),
        (640, "640 ms"),
        (1500, "1.50 s"),
        (12_000, "12.0 s"),
        (61_000, "1 min 1 s"),
        (59_990, "60.0 s"),
        (1.7e308, "1.7e305 s"),
    ],
)
def test_durations_have_the_unit_that_reads_best(value: float | None, text: str) -> None:
    assert formatting.duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (7, "7.00"),
        (7.2, "7.20"),
        (-0.5, "−0.50"),
        (0, "0.00"),
        (0.0031, "0.0031"),
        (1e15, "1e15"),
    ],
)
def test_means_in_a_column_have_the_same_decimals(value: float | None, text: str) -> None:
    assert formatting.mean(value) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [("2026-06-03", "3 Jun"), ("2026-W40", "28 Sep"), ("2026-W01", "29 Dec"), ("2026-06", "Jun 2026")],
)
def test_periods_on_an_axis_are_named_by_their_first_day(name: str, text: str) -> None:
    assert formatting.period(name) == text


@pytest.mark.parametrize(
    ("ago", "text"),
    [(0, "just now"), (30, "30 seconds ago"), (61, "1 minute ago"), (7200, "2 hours ago"), (86400 * 8, "1 week ago")],
)
def test_times_say_how_long_ago_they_were_and_hold_the_time_itself(
    ago: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    monkeypatch.setattr(clock, "now", lambda: now)
    shown = str(formatting.when(now - timedelta(seconds=ago)))
    assert text in shown
    assert f'title="{now - timedelta(seconds=ago):%Y-%m-%d %H:%M:%S} UTC"' in shown
    assert formatting.when(now - timedelta(days=400)).endswith("26 Oct 2025</time>")


def test_an_excerpt_is_one_line_and_variables_are_marked_in_escaped_text() -> None:
    assert formatting.excerpt("a\n b  c") == "a b c"
    assert formatting.excerpt("x" * 300, 10) == "x" * 10 + "…"
    assert formatting.excerpt("What we send, then", 11) == "What we…"
    assert formatting.excerpt("What we send, then", 13) == "What we send…"
    assert formatting.excerpt("We send it. Then", 12) == "We send it…"
    assert formatting.excerpt(None) == ""
    shown = formatting.variables("<b>{{ name }}</b>")
    assert shown == '&lt;b&gt;<mark class="variable">{{ name }}</mark>&lt;/b&gt;'


def test_hits_are_marked_and_everything_is_escaped() -> None:
    pattern = make_pattern(["tide", "a.c"])
    assert formatting.mark_hits("The <Tide> and tides", pattern) == (
        "The &lt;<mark>Tide</mark>&gt; and <mark>tide</mark>s"
    )
    assert formatting.mark_hits("a.c abc", pattern) == "<mark>a.c</mark> abc"
    assert formatting.mark_hits("<b>", None) == "&lt;b&gt;"
    assert formatting.mark_hits(None, pattern) == ""


def test_an_excerpt_around_a_hit_is_one_line_and_empty_without_a_hit() -> None:
    pattern = make_pattern(["word"])
    assert formatting.excerpt_around_hit("nothing", pattern, 20) == ""
    assert formatting.excerpt_around_hit(None, pattern) == ""
    around = formatting.excerpt_around_hit("x " * 100 + "word\n here " + "y " * 100, pattern, 30)
    assert around == "…x x x x <mark>word</mark> here y y y y y y…"
    assert formatting.excerpt_around_hit("a word", pattern, 3) == "…<mark>word</mark>"


def test_the_excerpt_around_a_hit_ends_with_a_word_and_has_the_whole_hit() -> None:
    tide = make_pattern(["tide"])
    assert formatting.excerpt_around_hit("The tide comes twice a day", tide, 12) == "The <mark>tide</mark>…"
    assert formatting.excerpt_around_hit("x" * 9 + "tide" * 2, make_pattern(["tidetide"]), 12).endswith(
        "<mark>tidetide</mark>"
    )


def test_an_id_is_shown_short_and_copied_whole() -> None:
    shown = formatting.short_id("log_01jz8x4m5n6p7q8r9s0t1v2w3x")
    assert ">…1v2w3x</code>" in shown
    assert 'data-copy-text="log_01jz8x4m5n6p7q8r9s0t1v2w3x"' in shown
