"""How the text of an output is shown: as it is, as Markdown, as folded JSON, or as the messages of a chat.

Pure functions. What they return is safe to insert into a page, whatever the text is, and loads nothing. They take
bounded time: of a long text they show the beginning.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MARKDOWN_MAX = 40_000  # characters that are shown as Markdown
VIEWS = ("text", "markdown", "json")
_NESTING_MAX = 20
_NODES_MAX = 2000  # values of a JSON text that are shown folded
_DEPTH_MAX = 30
_OPEN_DEPTH = 2  # levels that are open at first
_MESSAGES_MAX = 200
_LOWEST_HEADING, _FIRST_HEADING = 6, 3  # the section that a text is in has a heading of level 2
_TAGS = {
    *("p", "br", "hr", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "em", "strong", "s"),
    *("a", "table", "thead", "tbody", "tr", "th", "td"),
}
_LINKS = ("http://", "https://", "mailto:")
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}


@dataclass(frozen=True)
class ShownMessage:
    """A message of a chat: its role and name, its text, and the tool calls as pairs of name and arguments."""

    role: str
    name: str
    text: str
    calls: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Shown:
    """A text as it is shown: `kind` is `text`, `markdown`, `json` or `messages`, and decides what `content` is.

    `note` says why it is not as the reader asked.
    """

    kind: str
    content: Any
    note: str = ""


def show(text: str | None, view: str = "text") -> Shown | None:
    """Return a text in one of the VIEWS; None without a text.

    Chats are messages unless JSON is asked for; in the view `text` other JSON has indents.
    """
    if text is None:
        return None
    messages = read_messages(text) if view != "json" else None
    if messages is not None:
        return Shown("messages", messages)
    if view == "markdown":
        is_cut = len(text) > MARKDOWN_MAX
        return Shown("markdown", to_markdown(text), f"The first {MARKDOWN_MAX:,} characters." if is_cut else "")
    value = read_json(text)
    if view == "json":
        return Shown("text", text, "This is not JSON.") if value is None else Shown("json", to_folded(value))
    return Shown("text", text if value is None else indent_json(value))


def to_markdown(text: str) -> Markup:
    """Return the text rendered as Markdown.

    HTML in it stays text, images are their descriptions, and links lead to web and mail addresses only.
    """
    import nh3

    parser = _get_parser()
    tokens = parser.parse(text[:MARKDOWN_MAX])
    _shift_headings(tokens)
    html = parser.renderer.render(tokens, parser.options, {})
    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_refuse_own_path,
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noreferrer",
    )
    return Markup(clean)  # noqa: S704 - nh3 has removed everything but the tags above


def _refuse_own_path(tag: str, name: str, value: str) -> str | None:
    """Drop a relative link: written by a model, it leads to a page of this server."""
    return value if name != "href" or value.lower().startswith(_LINKS) else None


@cache
def _get_parser() -> "MarkdownIt":
    """Return the parser. Its modules take 7 MB, which a server without a reader of Markdown does not need."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _NESTING_MAX}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _describe_image)
    return parser


def _describe_image(renderer: Any, tokens: "Sequence[Token]", index: int, options: Any, env: Any) -> str:
    return f"[image: {escape(renderer.renderInlineAsText(tokens[index].children or [], options, env))}]"


def _shift_headings(tokens: "Iterable[Token]") -> None:
    """Put headings below that of the section, without leaving out a level."""
    previous = _FIRST_HEADING - 1
    for token in tokens:
        if token.type == "heading_open":
            previous = min(int(token.tag[1]) + _FIRST_HEADING - 1, previous + 1, _LOWEST_HEADING)
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{previous}"


def read_json(text: str | None) -> Any:
    """Return the object or array that a text is the JSON of; None for any other text."""
    if text is None or not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def to_folded(value: Any) -> Markup:
    """Return a JSON value as lines, of which each object and array can be folded."""
    left = [_NODES_MAX]
    return _fold(None, value, 0, left)


def _fold(name: str | None, value: Any, depth: int, left: list[int]) -> Markup:
    left[0] -= 1
    label = Markup("") if name is None else Markup('<span class="json-name">{}</span>: ').format(name)
    if not isinstance(value, dict | list) or not value or depth >= _DEPTH_MAX:
        return Markup('<div class="json-line">{}{}</div>').format(label, _write(value))
    is_object = isinstance(value, dict)
    pairs: Iterable[tuple[str, Any]]
    pairs = value.items() if isinstance(value, dict) else ((str(index), each) for index, each in enumerate(value))
    lines: list[Markup] = []
    for key, each in pairs:
        if left[0] <= 0:
            lines.append(Markup('<div class="json-line muted">… {} more</div>').format(len(value) - len(lines)))
            break
        lines.append(_fold(key, each, depth + 1, left))
    noun = ("name" if is_object else "item") + "s" * (len(value) != 1)
    return Markup(
        '<details class="json"{}><summary>{}<span class="muted">{} {}</span></summary><div class="json-inner">{}</div>'
        "</details>"
    ).format(Markup(" open") if depth < _OPEN_DEPTH else "", label, len(value), noun, Markup("").join(lines))


def _write(value: Any) -> Markup:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        text = "…"
    return Markup('<span class="json-{}">{}</span>').format("text" if isinstance(value, str) else "value", text)


def read_messages(text: str | None) -> list[ShownMessage] | None:
    """Return the messages of a chat that a text is the JSON of, the first ones of many; None for any other text."""
    value = read_json(text)
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        value = value["messages"]
    elif isinstance(value, dict) and not {"content", "tool_calls", "parts"}.isdisjoint(value):
        value = [value]
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(each, dict) and isinstance(each.get("role"), str) for each in value):
        return None
    return [_read_message(message) for message in value[:_MESSAGES_MAX]]


def _read_message(message: Mapping[str, Any]) -> ShownMessage:
    texts: list[str] = []
    calls: list[tuple[str, str]] = []
    content = message.get("content", message.get("parts"))
    for part in content if isinstance(content, list) else [content]:
        _read_part(part, texts, calls)
    sent = message.get("tool_calls")
    for call in sent if isinstance(sent, list) else [message["function_call"]] if "function_call" in message else []:
        function = call.get("function", call) if isinstance(call, dict) else {"name": call}
        function = function if isinstance(function, dict) else {"name": function}
        calls.append((str(function.get("name", "")), indent_json(function.get("arguments"))))
    name = message.get("name") or message.get("tool_call_id") or ""
    return ShownMessage(message["role"], str(name), "\n".join(texts), calls)


def _read_part(part: Any, texts: list[str], calls: list[tuple[str, str]]) -> None:
    """Add what a part of a message says, in the forms of OpenAI, Anthropic and Google."""
    if part is None:
        return
    if not isinstance(part, dict):
        texts.append(indent_json(part))
        return
    text = part.get("text", part.get("content"))
    call = part.get("functionCall", part if part.get("type") in ("tool_use", "tool_call") else None)
    if isinstance(call, dict):
        calls.append(
            (str(call.get("name", "")), indent_json(call.get("input", call.get("arguments", call.get("args")))))
        )
    elif isinstance(text, str):
        texts.append(text)
    elif text is not None:
        texts.append(indent_json(text))
    elif "image" in str(part.get("type", "")):
        texts.append("[image]")
    else:
        texts.append(indent_json(part))


def indent_json(value: Any) -> str:
    """Return an object or array, or a text that is the JSON of one, with indents; other texts as they are.

    None is the empty text.
    """
    if isinstance(value, str):
        parsed = read_json(value)
        if parsed is None:
            return value
        value = parsed
    try:
        return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)
    except RecursionError:
        return "…"
