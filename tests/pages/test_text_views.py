"""How texts of outputs are shown: Markdown, folded JSON and messages, whatever the text is."""

import json
import re

import pytest

from promptcrafter.pages.text_views import MARKDOWN_MAX, read_messages, show, to_folded, to_markdown

_HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![a picture](http://evil.example/x.png)",
    "![data](data:image/svg+xml;base64,AAAA)",
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt:alert(1))",
    "[click](&#106;avascript:alert(1))",
    "[click](data:text/html,<script>alert(1)</script>)",
    "[click](vbscript:x)",
    "<javascript:alert(1)>",
    "[ref]: javascript:alert(1)\n\n[ref]",
    "[out](/app/sign-out) [other](//evil.example/x)",
    "<style>body{display:none}</style><iframe src=//evil.example></iframe>",
    '[x](https://e.example "\\" onclick=alert(1) \\"")',
    '```x" onclick=alert(1)\n</code></pre><script>1</script>\n```',
    "<svg><a xlink:href='javascript:alert(1)'>x</a></svg>",
)


@pytest.mark.parametrize("text", _HOSTILE)
def test_hostile_markdown_makes_no_element_that_loads_or_runs_anything(text: str) -> None:
    html = str(to_markdown(text))
    tags = re.findall(r"<(/?[a-z0-9]+)((?:\s[^>]*)?)>", html)
    assert {name.lstrip("/") for name, _ in tags} <= {"p", "a", "pre", "code"}
    for _, attributes in tags:
        assert set(re.findall(r"([a-z:]+)=", re.sub(r'"[^"]*"', '""', attributes))) <= {"href", "title", "rel"}
    for target in re.findall(r'href="([^"]*)"', html):
        assert target.startswith("https://")


def test_markdown_is_rendered_with_headings_below_those_of_the_page_and_links_that_tell_nothing() -> None:
    html = str(to_markdown("# One\n\n#### Two\n\n**bold** [a](https://e.example) ![a cat](x.png)\n\n|a|\n|-|\n|b|"))
    assert "<h3>One</h3>" in html
    assert "<h4>Two</h4>" in html
    assert '<a href="https://e.example" rel="nofollow noreferrer">a</a>' in html
    assert "[image: a cat]" in html
    assert "<td>b</td>" in html


@pytest.mark.parametrize(
    "piece", [">", "- ", "[", "![", "[a](", "*a_", "`", "a|b\n-|-\n", "<!--", "&#x", "\\", "[a]: /x\n", "word "]
)
def test_a_megabyte_of_any_markdown_shows_its_beginning(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    shown = show(text, "markdown")
    assert shown is not None
    assert f"{MARKDOWN_MAX:,}" in shown.note
    assert len(shown.content) < 30 * MARKDOWN_MAX


def test_deep_and_large_json_is_folded_as_far_as_it_can_be_read() -> None:
    assert "&lt;b&gt;" in to_folded({"<b>": ["<b>", 1, None, True]})
    assert "<b>" not in to_folded({"<b>": ["<b>"]})
    deep = show("[" * 5000 + "]" * 5000, "json")
    assert deep is not None
    assert deep.kind == "text" or len(deep.content) < 100_000
    large = to_folded([[1] * 1000] * 1000)
    assert large.count('class="json-line"') < 2100
    assert "more</div>" in large


def test_what_is_not_json_is_shown_as_text_with_a_word_about_it() -> None:
    shown = show("Hello [", "json")
    assert shown is not None
    assert (shown.kind, shown.content, shown.note) == ("text", "Hello [", "This is not JSON.")
    assert show(None, "json") is None
    pretty = show('{"a":1}')
    assert pretty is not None
    assert pretty.content == '{\n  "a": 1\n}'


def test_messages_and_tool_calls_of_all_providers_are_read() -> None:
    chat = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "find", "arguments": '{"a":1}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "assistant", "content": [{"type": "tool_use", "name": "look", "input": {"b": 2}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "ask", "args": {"c": 3}}}]},
    ]
    messages = read_messages(json.dumps(chat))
    assert messages is not None
    assert [message.text for message in messages] == ["Be kind.", "What is it?\n[image]", "", "42", "", ""]
    assert [message.calls for message in messages if message.calls] == [
        [("find", '{\n  "a": 1\n}')],
        [("look", '{\n  "b": 2\n}')],
        [("ask", '{\n  "c": 3\n}')],
    ]
    assert read_messages('[{"role": 1}]') is None
    assert read_messages('[1, {"role": "user"}]') is None
    assert read_messages("[]") is None
    odd = read_messages('[{"role": "user", "content": {"x": 1}, "tool_calls": ["f", {"function": "g"}, 3]}]')
    assert odd is not None
    assert [name for name, _ in odd[0].calls] == ["f", "g", "3"]
