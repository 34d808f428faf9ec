"""YAML is read strictly, within bounds, and what is written is read back exactly."""

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from promptcrafter import jsonio, yamlio

PARSERS = [pytest.param(True, id="libyaml"), pytest.param(False, id="python")]
_MARKS = " \n\t:#-'\"|>{}[]&*!%@`?,\\\r\x85\u2028\ufeff0123eE.+~yn<=_"
_TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(_MARKS), max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(_TEXT, values, max_size=4),
    max_leaves=10,
)
_PIECES = [
    *(" ", "  ", "\n", "\n  ", ": ", ":", "- ", "-", "a", "b: c", " #", "'", '"', "|", "|-", "|2", ">", "{", "}", "["),
    *("]", ",", "&a", "*a", "!", "%", "---", "...", "? ", "@", "~", "<<", "1", ".5", "\\n", "\\x41", "\\", "\r", "é"),
]


@pytest.mark.parametrize("prefers_c", PARSERS)
@pytest.mark.parametrize(
    ("written", "value"),
    [
        *((word, word) for word in ("no", "on", "yes", "Y", "1_000", "0o7", "0x1F", "007", "1:30", "2026-01-01", "=")),
        *((word, None) for word in ("", "~", "null", "NULL")),
        *((word, True) for word in ("true", "True", "TRUE")),
        ("FALSE", False),
        *(("-12", -12), ("+1", 1), ("1.", 1.0), (".5", 0.5), ("1e3", 1000.0), ("-0.0", -0.0)),
        *(("'1'", "1"), ('"null"', "null"), ('"\\u00e9\\x41\\U0001F600"', "éA😀"), ("|-\n  1\n", "1")),
        ("[a, {b: [c]}, ]", ["a", {"b": ["c"]}]),
        ("\n  - on: off\n  - 'it''s'\n", [{"on": "off"}, "it's"]),
        ("|\r\n  a\r\n  b\r\n", "a\nb\n"),
        (">\n  a\n  b\n", "a b\n"),
        ("# a comment", None),
        ("|\n  #\ta  \n\n   b\n", "#\ta  \n\n b\n"),
    ],
)
def test_scalars_are_those_of_yaml_1_2_that_json_has(prefers_c: bool, written: str, value: Any) -> None:
    for mark in (b"", b"\xef\xbb\xbf", b"---\n", b"# comment\n"):
        loaded = yamlio.loads(mark + f"key: {written}".encode(), prefers_c=prefers_c)
        assert repr(loaded) == repr({"key": value})


@pytest.mark.parametrize("prefers_c", PARSERS)
@pytest.mark.parametrize(
    ("written", "code", "text"),
    [
        ("a: &x b\nc: *x", "invalid_yaml", "line 1, column 4: anchors (&) are not allowed."),
        ("a: *x", "invalid_yaml", "line 1, column 4: aliases (*) are not allowed."),
        ("a:\n  !!python/name:os.system x", "invalid_yaml", "line 2, column 3: tags (!) are not allowed."),
        ("a: ! b", "invalid_yaml", "line 1, column 4: tags (!) are not allowed."),
        ("%YAML 1.2\n---\na: b", "invalid_yaml", "line 1, column 1: directives (%) are not allowed."),
        ("# c\n%TAG ! tag:x\n---\na: b", "invalid_yaml", "line 2, column 1: directives (%) are not allowed."),
        ("<<: {a: b}", "invalid_yaml", "line 1, column 1: merge keys (<<) are not allowed."),
        ("a: b\nc: d\na: e", "duplicate_key", 'line 3, column 1: the key "a" comes twice.'),
        ("a: b\n'a': e", "duplicate_key", "line 2, column 1"),
        ("1: a", "invalid_yaml", "line 1, column 1: a key must be a text: write it in quotes."),
        ("? [a]\n: b", "invalid_yaml", "line 1, column 3: a key must be a text."),
        ("? {}\n: b", "invalid_yaml", "line 1, column 3: a key must be a text."),
        ("? {a: b}\n: b", "invalid_yaml", "line 1, column 3: a key must be a text."),
        (
            "a: {{b}}",
            "invalid_yaml",
            "line 1, column 5: a key must be a text: put a text that begins with {{ in quotes.",
        ),
        (
            "a:\n  - b: {{ c }} d",
            "invalid_yaml",
            "line 2, column 9: a key must be a text: put a text that begins with {{ in quotes.",
        ),
        ("~: b", "invalid_yaml", "line 1, column 1: a key must be a text: write it in quotes."),
        ("a: b\n---\nc: d", "invalid_yaml", "line 2, column 1: there must be one document only."),
        ("a: .nan", "invalid_yaml", "line 1, column 4: .nan is not a JSON number."),
        ("a: -.Inf", "invalid_yaml", "-.Inf is not a JSON number."),
        ("a: 1e999", "number_out_of_range", "line 1, column 4: the number 1e999 is too large."),
        (f"a: {'1' * 5000}", "number_out_of_range", "line 1, column 4: a number has too many digits."),
        ("a: b\n\tc: d", "invalid_yaml", "line 2, column 1"),
        ("a:\n\t- b", "invalid_yaml", "line 2, column 1"),
        ("a: b: c", "invalid_yaml", "line 1, column 5"),
        ("a: 'b", "invalid_yaml", "line 1, column 6"),
        ('a: "\\q"', "invalid_yaml", "line 1, column"),
        ('a: "\\ud800"', "invalid_yaml", "line 1, column"),
        ('a: "\\Uffffffff"', "invalid_yaml", "Invalid YAML"),
        ("a: b\nc: x\0y", "invalid_yaml", "line 2, column 5: the character U+0000 can only be written as an escape"),
        ("a: |\r\n  x\u2028y", "invalid_yaml", "line 2, column 4: the character U+2028 can only"),
        ("a: x\x85y", "invalid_yaml", "line 1, column 5: the character U+0085 can only"),
        ("a: x\ufeff", "invalid_yaml", "line 1, column 5: the character U+FEFF can only"),
        ("[" * 101 + "]" * 101, "nested_too_deeply", "The YAML is nested deeper than 100 levels."),
        ("- " * 101, "nested_too_deeply", "The YAML is nested deeper than 100 levels."),
    ],
)
def test_what_json_has_not_is_refused_with_its_place(prefers_c: bool, written: str, code: str, text: str) -> None:
    with pytest.raises(yamlio.YamlError) as raised:
        yamlio.loads(written.encode(), prefers_c=prefers_c)
    assert raised.value.code == code
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a: \xff", "The body is not UTF-8: byte 4 is invalid."),
        ("a: b".encode("utf-16"), "The body is not UTF-8. It seems to be UTF-16 or UTF-32."),
        ("a: b".encode("utf-16-be"), "The body is not UTF-8. It seems to be UTF-16 or UTF-32."),
    ],
)
def test_only_utf_8_is_read(data: bytes, text: str) -> None:
    with pytest.raises(yamlio.YamlError, match=text) as raised:
        yamlio.loads(data)
    assert raised.value.code == "invalid_utf8"


def test_a_hundred_levels_and_fifty_thousand_keys_and_values_are_read() -> None:
    assert jsonio.count_levels(yamlio.loads(b"[" * 100 + b"]" * 100)) == 100
    assert len(yamlio.loads(b"- 0\n" * (yamlio.MAX_NODES - 1))) == yamlio.MAX_NODES - 1
    with pytest.raises(yamlio.YamlError, match="more than 50,000 keys and values") as raised:
        yamlio.loads(b"- 0\n" * yamlio.MAX_NODES)
    assert raised.value.code == "too_many_values"


LAUGHS = "a0: &a0 [lol]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
# Each has the most that a body may have, or what takes a parser long
MONSTERS: dict[str, tuple[bytes, str]] = {
    "laughs": (LAUGHS.encode(), "anchors"),
    "depth in brackets": (b"[" * 2_000_000, "nested"),
    "depth in braces": (b"{a: " * 500_000, "nested"),
    "depth in dashes": (b"- " * 1_000_000, "nested"),
    "depth in question marks": (b"? " * 1_000_000, "must be a text"),
    "lines": (b"- line\n" * 250_000, "more than"),
    "items": (b"[" + b"0," * 1_000_000 + b"]", "more than"),
    "keys": (b"".join(b"k%d: 1\n" % number for number in range(150_000)), "more than"),
    "the same key": (b"k: 1\n" * 400_000, "twice"),
    "tags": (b"- !a b\n" * 250_000, "tags"),
    "documents": (b"---\n" * 500_000, "one document"),
    "lines of a text": (b"a: |\n" + b"  line\n" * 280_000, ""),
    "lines of a plain text": (b"a: b\n" + b"  line\n" * 280_000, ""),
    "a long text": (b"a: " + b"x " * 1_000_000, ""),
    "escapes": (b'a: "' + b"\\n" * 1_000_000 + b'"', ""),
    "blank lines": (b"\n" * 2_000_000, ""),
    "comments": (b"#\n" * 1_000_000, ""),
    "tabs": (b"a:\n" + b"\t" * 2_000_000, ""),
    "quotes": (b"'" * 2_000_000, ""),
    "colons": (b":" * 2_000_000, ""),
    "spaces": (b"a:" + b" " * 2_000_000 + b"b", ""),
    "margins": (b"a: |\n" + (b" " * 1000 + b"b\n") * 2000, ""),
}


@pytest.mark.parametrize("name", MONSTERS)
def test_a_monster_is_read_or_refused_without_much_work(name: str) -> None:
    data, text = MONSTERS[name]
    message = ""
    try:
        yamlio.loads(data)
    except yamlio.YamlError as error:
        message = str(error)
    assert len(message) < 300
    assert text in message


def test_the_parser_in_python_reads_less_because_it_takes_longer() -> None:
    assert yamlio.loads(b"a: |\n" + b"  line\n" * 1000, prefers_c=False) == {"a": "line\n" * 1000}
    with pytest.raises(yamlio.YamlError, match="131,072 bytes on this server") as raised:
        yamlio.loads(b"#" * (yamlio.PURE_BYTES_MAX + 1), prefers_c=False)
    assert raised.value.code == "too_large"
    with pytest.raises(yamlio.YamlError, match="nested"):
        yamlio.loads(b"[" * yamlio.PURE_BYTES_MAX, prefers_c=False)


@settings(max_examples=80)
@given(st.dictionaries(_TEXT, _JSON, max_size=4))
@example({"k" * 2000: {"l" * 2000: [1]}, "a": " \n", "b": "\n\nb\n\n", "c": "a\n  ", "d": "\ta\n", "e": "😀\n'"})
@example({"a": 1e-05, "b": 1e16, "c": -0.0, "d": 10**30, "e": [[], {}, [[{"f": []}]]]})
def test_what_is_written_is_read_back_by_every_parser(value: dict[str, Any]) -> None:
    written = yamlio.dumps(value)
    for prefers_c in (True, False):
        loaded = yamlio.loads(written.encode(), prefers_c=prefers_c)
        assert repr(loaded) == repr(value)
    assert yamlio.dumps(loaded) == written
    assert repr(yaml.safe_load(written)) == repr(value), "a reader of YAML 1.1"


@settings(max_examples=200)
@given(st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))
def test_both_parsers_agree(written: str) -> None:
    results = []
    for prefers_c in (True, False):
        try:
            results.append(repr(yamlio.loads(written.encode(), prefers_c=prefers_c)))
        except yamlio.YamlError as error:
            results.append(error.code)
    by_c, by_python = results
    # the parser in Python takes no comment directly after `|` or `>`
    assert by_python in (by_c, "invalid_yaml")


def test_texts_of_several_lines_are_blocks_and_others_are_quoted_where_they_must_be() -> None:
    value = {
        "block": "First  \n  second\n\tthird\n",
        "open": "a\nb",
        "kept": "a\n\n\n",
        "margin": "  a\nb\n",
        "carriage": "a\r\nb",
        "word": "Is it (really) so? Yes: 'no'",
        "list": ["no", "null", "1", "1.5", "2026-01-01", "-", "", " a", "a ", "a: b", "a #b", "# a", "{{a}}", "it's"],
        "more": [True, None, 0.5, 1e-7, {"a": {"b": "c"}}, ["x", []], {}],
    }
    assert yamlio.dumps(value).splitlines() == [
        "block: |",
        "  First  ",
        "    second",
        "  \tthird",
        "open: |-",
        "  a",
        "  b",
        "kept: |+",
        "  a",
        "",
        "",
        "margin: |2",
        "    a",
        "  b",
        'carriage: "a\\r\\nb"',
        "word: 'Is it (really) so? Yes: ''no'''",
        "list:",
        "  - 'no'",
        "  - 'null'",
        "  - '1'",
        "  - '1.5'",
        "  - '2026-01-01'",
        "  - '-'",
        "  - ''",
        "  - ' a'",
        "  - 'a '",
        "  - 'a: b'",
        "  - 'a #b'",
        "  - '# a'",
        "  - '{{a}}'",
        "  - it's",
        "more:",
        "  - true",
        "  - null",
        "  - 0.5",
        "  - 1.0e-07",
        "  - a:",
        "      b: c",
        "  - - x",
        "    - []",
        "  - {}",
    ]
