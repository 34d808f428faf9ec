"""The comparison of logs as Markdown: a renderer shows the texts as they are, and nothing but our own markup."""

import html
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from promptcrafter.logs.comparison_markdown import write_comparison
from promptcrafter.word_diff import compare

RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
OWN_TAGS = re.compile(r"</?(?:table|thead|tbody|tr|th|td|h2|blockquote|p|del|ins)>|<br ?/?>|<!-- -->")
SYMBOLS = str.maketrans("", "", "␣⇥␍↵")
# What GitHub's renderer and linkify-it make a link of, as far as Markdown itself does not. The comment in front of an @
# separates it from the name in front of it
LINK = re.compile(r"(?i)www\.|(?<!\\)://|(?<![:\\])//|[\w.+:-]\\?@[\w.\\-]|[^\\]\.[a-z]")
SYNTAX = [
    *("#", "##", "-", "+", "1.", "12)", "=", "===", "---", "***", ">", "    ", "  ", "\t", "```", "~~~", "`"),
    *("|", "|---|", ":-", ":-:", "<", "&", "[", "]", "!", "~~", "_", "__", "*", "**", "\\", "\n", "\n\n", "\r", "\r\n"),
    *(
        "WWW.X.COM",
        "www.a.b",
        "HTTPS://a.b",
        "mailto:",
        "a@b.co",
        "xmpp:a@b.co/x",
        "ftp://a",
        "x.com",
        "//a.b",
        "@",
        ".",
    ),
    *(
        "<b>",
        "</del>",
        "<!--",
        "<div>",
        "&amp;",
        "&#35;",
        "[a]: b",
        "[a](b)",
        "![a](b)",
        "<a@b.c>",
        "  \n",
        "\\\n",
        ":",
    ),
    *("a", "word", "é", "\u0301", "東", "\xa0", "\u2028", "a_b", '"'),
]
TEXTS = st.lists(st.sampled_from(SYNTAX), max_size=12).map("".join)


def write(first: str, second: str, notes: str = "") -> str:
    (changes,) = compare(first, [second])
    differences: list[Any] = [{"logId": "log_2", "against": "log_1", "words": [change._asdict() for change in changes]}]
    logs = [{"_id": "log_1", "notes": notes}, {"_id": "log_2", "notes": None}]
    return "".join(write_comparison({"logs": logs, "differences": differences}))


def read(rendered: str) -> str:
    """Return the text of HTML without white space."""
    return "".join(html.unescape(OWN_TAGS.sub("", rendered)).translate(SYMBOLS).split())


@given(first=TEXTS, second=TEXTS, start=TEXTS, notes=TEXTS)
def test_only_our_own_markup_is_rendered_and_the_texts_are_unchanged(
    first: str, second: str, start: str, notes: str
) -> None:
    first, second = start + first, start + second
    markdown = write(first, second, notes)
    rendered = RENDERER.render(markdown)
    assert not re.search("[<>]", OWN_TAGS.sub("", rendered))
    assert [rendered.count(tag) for tag in ("<h2>", "<table>", "<tr>")] == [1, 1, 7]
    table, _, difference = rendered.partition("</h2>")
    for tag, text in (("ins", first), ("del", second)):
        assert read(re.sub(f"(?s)<{tag}>.*?</{tag}>", "", difference)) == "".join(text.split())
    (cell,) = re.findall(r"<td>notes</td>\s*<td>(.*?)</td>", table)
    assert read(cell) == "".join(notes.split())
    assert not LINK.search(markdown)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (" " * 1_000_000, "\t" * 1_000_000),
        ("\n" * 1_000_000, " "),
        ("`" * 500_000, "*" * 500_000),
        ("a@b" * 9, "x " * 200_000),
    ],
    ids=["blanks", "line breaks", "syntax", "one side"],
)
def test_a_long_difference_is_cut_and_says_so(first: str, second: str) -> None:
    markdown = write(first, second, first)
    assert len(markdown.encode()) < 1_000_000
    assert markdown.endswith("\nThe rest of this difference is not shown here, but in the JSON of the comparison.\n")
    assert (" … and " in markdown) == (len(first) > 100_000)


def test_a_difference_of_ordinary_length_is_whole() -> None:
    assert write("line\n" * 9_000, "line\n" * 9_000 + "new").endswith("> <ins>new</ins>  \n")
