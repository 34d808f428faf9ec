"""Strict reading and readable writing of YAML, of which only what JSON can express is used.

`loads` accepts one document of YAML 1.2 in UTF-8 with the scalars of its core schema, so that `no`, `1_000`, `0o7` and
dates are texts; a byte order mark is ignored. Tags, anchors, aliases, merge keys, directives, duplicate keys, keys that
are no texts, `.nan` and `.inf`, nesting deeper than `jsonio.MAX_DEPTH` and more than MAX_NODES values raise YamlError.
`dumps` writes block style, with texts of several lines as literal blocks: a change of a line is a line of a diff.

PyYAML's events are read, from libyaml where PyYAML has it, as its wheels do. Otherwise its parser in Python makes the
same values, but takes fifty times as long and refuses some tabs between words.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

from promptcrafter import jsonio
from promptcrafter.text import shorten

MAX_NODES = 50_000  # keys and values; a prompt with the largest `config` has 33,000
PURE_BYTES_MAX = 128 * 1024  # for the parser in Python, which takes up to seven seconds for a million blanks
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# What YAML does not allow unescaped, and what parsers take for a line break or a mark at other places than they should
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DIRECTIVE = re.compile(r"\A(?:[ \t]*+(?:#[^\r\n]*+)?+(?:\r\n|\r|\n))*+%")
_LETTER = re.compile(r"[^\W\d_]")  # what begins with a letter is a text, but for these words of YAML 1.1 or 1.2
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
_LITERAL = re.compile("[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]+")
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_ESCAPED = re.compile(f'{_UNREADABLE.pattern}|[\\n\\r\\t"\\\\]')
_ESCAPED_ALWAYS = re.compile(f"{_UNREADABLE.pattern}|[\\n\\r\\t]")
_INDENT = 2
_KEY_MAX = 1000  # characters of a key that may be followed by a colon; of a longer one YAML requires a question mark


class YamlError(ValueError):
    """The data is not acceptable YAML. `code` identifies the broken rule, as in the body of an error response."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class _Container:
    """A mapping or sequence that is being read."""

    def __init__(self, value: dict[str, Any] | list[Any]) -> None:
        self.value = value
        self.key: str | None = None  # of a mapping, the key whose value comes next

    def add(self, value: Any) -> None:
        if isinstance(self.value, list):
            self.value.append(value)
        elif self.key is not None:
            self.value[self.key] = value
            self.key = None

    @property
    def expects_key(self) -> bool:
        return self.key is None and isinstance(self.value, dict)


def loads(data: bytes, *, prefers_c: bool = True) -> Any:
    """Parse UTF-8 YAML. Raises YamlError, whose text has the line and the column of what is wrong.

    It is raised here, not where the parser's error is caught: that one would be its context, and holds the whole text.
    """
    parsed = _try_loads(data, prefers_c)
    if isinstance(parsed, YamlError):
        try:
            raise parsed
        finally:
            del parsed  # its traceback refers to this frame: such a cycle would keep the text until it is collected
    return parsed


def _try_loads(data: bytes, prefers_c: bool) -> Any:
    """Return the parsed YAML, or the YamlError."""
    try:
        jsonio.refuse_utf_16(data)
        text = data.decode("utf-8-sig")
    except jsonio.JsonError as error:
        return YamlError(str(error), error.code)
    except UnicodeDecodeError as error:
        return YamlError(f"The body is not UTF-8: byte {error.start + 1} is invalid.", "invalid_utf8")
    if found := _UNREADABLE.search(text):
        reason = f"the character U+{ord(found[0]):04X} can only be written as an escape in double quotes"
        return _invalid(*_place_of(text, found.start()), reason)
    if found := _DIRECTIVE.match(text):
        return _invalid(*_place_of(text, found.end() - 1), "directives (%) are not allowed")
    is_c = prefers_c and yaml.__with_libyaml__
    if not is_c and len(data) > PURE_BYTES_MAX:
        message = f"YAML may have at most {PURE_BYTES_MAX:,} bytes on this server, which has no libyaml."
        return YamlError(message, "too_large")
    parser = yaml.CSafeLoader(text) if is_c else yaml.SafeLoader(text)
    try:
        return _build(parser)
    except YamlError as error:
        return YamlError(str(error), error.code)
    except yaml.MarkedYAMLError as error:
        if "nesting depth" in str(error.problem):
            return _too_deep()
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return _invalid(line, column, shorten(str(error.problem or error.context)))
    except (yaml.YAMLError, ValueError) as error:  # such as a code point beyond Unicode in an escape
        return YamlError(f"Invalid YAML: {shorten(str(error).partition(chr(10))[0])}.", "invalid_yaml")
    finally:
        parser.dispose()


def _build(parser: Any) -> Any:
    """Return the value of the only document. Raises YamlError, and PyYAML's errors."""
    root = _Container([])
    containers = [root]
    nodes = 0
    documents = 0
    event = None
    while parser.check_event():
        previous, event = event, parser.get_event()
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _invalid(line, column, "there must be one document only")
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = containers.pop()
            containers[-1].add(ended.value)
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            if nodes > MAX_NODES:
                raise YamlError(f"The YAML has more than {MAX_NODES:,} keys and values.", "too_many_values")
            _refuse_unsupported(event, line, column)
            if isinstance(event, yaml.ScalarEvent):
                value = _scalar(event, line, column)
                if containers[-1].expects_key:
                    _set_key(containers[-1], event, value, line, column)
                else:
                    containers[-1].add(value)
            elif containers[-1].expects_key:
                is_variable = _is_flow_mapping(event) and _is_flow_mapping(previous)
                hint = ": put a text that begins with {{ in quotes" if is_variable else ""
                raise _invalid(line, column, f"a key must be a text{hint}")
            elif len(containers) > jsonio.MAX_DEPTH:
                raise _too_deep()
            else:
                containers.append(_Container({} if isinstance(event, yaml.MappingStartEvent) else []))
    return root.value[0] if root.value else None  # type: ignore[index]


def _is_flow_mapping(event: Any) -> bool:
    """Return whether a mapping begins that is written in braces."""
    return isinstance(event, yaml.MappingStartEvent) and bool(event.flow_style)


def _refuse_unsupported(event: Any, line: int, column: int) -> None:
    """Raise YamlError for an alias, an anchor or a tag."""
    if isinstance(event, yaml.AliasEvent):
        raise _invalid(line, column, "aliases (*) are not allowed")
    if event.anchor is not None:
        raise _invalid(line, column, "anchors (&) are not allowed")
    if event.tag is not None:
        raise _invalid(line, column, "tags (!) are not allowed")


def _scalar(event: Any, line: int, column: int) -> Any:
    """Return the value of a scalar: a text unless it is plain. Raises YamlError."""
    text: str = event.value
    if _SURROGATE.search(text):
        raise _invalid(line, column, "a surrogate is not a character")
    if event.style:  # in quotes or a block
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _NO_NUMBER.fullmatch(text):
        raise _invalid(line, column, f"{text} is not a JSON number")
    try:
        if _INTEGER.fullmatch(text):
            return int(text)
    except ValueError:  # more digits than sys.get_int_max_str_digits()
        raise _invalid(line, column, "a number has too many digits", "number_out_of_range") from None
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise _invalid(line, column, f"the number {text[:40]} is too large", "number_out_of_range")
        return number
    return text


def _set_key(container: _Container, event: Any, key: Any, line: int, column: int) -> None:
    """Make a scalar the key of the value that comes next. Raises YamlError."""
    if not isinstance(key, str):
        raise _invalid(line, column, "a key must be a text: write it in quotes")
    if key == "<<" and not event.style:
        raise _invalid(line, column, "merge keys (<<) are not allowed")
    if key in container.value:
        raise _invalid(line, column, f'the key "{shorten(key)}" comes twice', "duplicate_key")
    container.key = key


def _place_of(text: str, position: int) -> tuple[int, int]:
    """Return the line and the column of a position, all from 1 but the position."""
    before = text[:position].replace("\r\n", "\n").replace("\r", "\n")
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _invalid(line: int, column: int, reason: str, code: str = "invalid_yaml") -> YamlError:
    return YamlError(f"Invalid YAML at line {line}, column {column}: {reason}.", code)


def _too_deep() -> YamlError:
    return YamlError(f"The YAML is nested deeper than {jsonio.MAX_DEPTH} levels.", "nested_too_deeply")


def dumps(value: Mapping[str, Any]) -> str:
    """Return a JSON object as YAML that `loads` reads back, and that readers of every version of YAML understand.

    The same object has one form only. Raises ValueError for text that cannot be stored.
    """
    return _block(value, 0) if value else "{}\n"


def _block(value: Any, column: int) -> str:
    """Return the lines of an object or array that is not empty, whose keys or dashes begin at a column from 0."""
    margin = " " * column
    if isinstance(value, list):
        return "".join(f"{margin}-{_after_dash(item, column)}" for item in value)
    return "".join(f"{margin}{_key(key, margin)}:{_after(part, column)}" for key, part in value.items())


def _after_dash(item: Any, column: int) -> str:
    """Return an item of an array, which may begin on the line of its dash."""
    if isinstance(item, dict | list) and item:
        return f" {_block(item, column + _INDENT)[column + _INDENT :]}"
    return _after(item, column)


def _after(value: Any, column: int) -> str:
    """Return what follows a colon or a dash, of which the key or the dash begins at the column."""
    if isinstance(value, dict | list):
        empty = "{}" if isinstance(value, dict) else "[]"
        return f"\n{_block(value, column + _INDENT)}" if value else f" {empty}\n"
    if isinstance(value, str):
        return f" {_literal(value, column + _INDENT) if _is_literal(value) else _line(value)}\n"
    return f" {_number(repr(value)) if isinstance(value, float) else jsonio.dumps(value)}\n"


def _key(key: str, margin: str) -> str:
    written = _line(key)
    return written if len(written) <= _KEY_MAX else f"? {written}\n{margin}"


def _line(text: str) -> str:
    """Return a text in one line: plain, in single quotes, or in double quotes with escapes."""
    if _ESCAPED_ALWAYS.search(text):
        return '"' + _ESCAPED.sub(_escape, text) + '"'
    is_plain = (
        _LETTER.match(text)
        and text.lower() not in _WORDS
        and not text.endswith((" ", ":"))
        and ": " not in text
        and " #" not in text
    )
    return text if is_plain else "'" + text.replace("'", "''") + "'"


def _is_literal(text: str) -> bool:
    """Return whether a text is written as a literal block, which has no escapes."""
    return "\n" in text and not text.isspace() and _LITERAL.fullmatch(text) is not None


def _literal(text: str, column: int) -> str:
    """Return a literal block whose lines begin at the column, without the last line break."""
    indented = _INDENT if text[0] in " \t\n" else ""  # where a reader would take blanks for the margin
    kept = text.rstrip("\n")
    chomping = {0: "-", 1: ""}.get(len(text) - len(kept), "+")
    lines = text.removesuffix("\n").split("\n")
    margin = " " * column
    return "\n".join([f"|{indented}{chomping}", *(margin + line if line else "" for line in lines)])


def _number(written: str) -> str:
    """Return a number as YAML 1.1 knows it, too: with a point if it has an exponent."""
    mantissa, exponent, power = written.partition("e")
    return f"{mantissa}.0e{power}" if exponent and "." not in mantissa else written


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return _ESCAPES.get(found[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
