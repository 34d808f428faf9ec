"""Reading JSON strictly, in bounded time and memory."""

import tracemalloc

import pytest

from promptcrafter.jsonio import MAX_CONTAINERS, JsonError, find_unstorable_text, loads


def code_of(data: bytes) -> str:
    with pytest.raises(JsonError) as error:
        loads(data)
    assert error.value.__context__ is None, "the parser's error refers to the text"
    return error.value.code


@pytest.mark.parametrize("string", [b"x" * 500_000, rb"\n" * 250_000, b'","' * 100_000])
def test_a_constant_behind_a_long_string_is_refused_without_much_memory(string: bytes) -> None:
    data = b'["' + string + b'", NaN]'
    tracemalloc.start()
    try:
        with pytest.raises(JsonError) as error:
            loads(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(error.value) == f"Invalid JSON at line 1, column {len(data) - 3}: NaN is not a JSON number."
    assert peak < 20 * len(data)


@pytest.mark.parametrize("data", [b'{"a": "NaN", "b": -Infinity}', rb'["\\", "\"", NaN]', b"Infinity"])
def test_the_constant_is_located_outside_of_strings(data: bytes) -> None:
    with pytest.raises(JsonError) as error:
        loads(data)
    at = max(data.rfind(b"NaN"), data.rfind(b"-Infinity"), data.rfind(b"Infinity") if data[:1] == b"I" else 0)
    assert f"column {at + 1}:" in str(error.value)


def test_brackets_in_strings_are_no_levels() -> None:
    brackets = "[" * 1000
    for text in (brackets, f"\\\\{brackets}", f'\\"{brackets}', f'\\\\\\"{brackets}\\\\'):
        assert loads(f'{{"a": ["{text}", "{brackets}"]}}'.encode())["a"][1] == brackets
    assert code_of(b'["' + b"[" * 1000 + b'", ' + b"[" * 100 + b"]" * 100 + b"]") == "nested_too_deeply"
    assert code_of(rb'["\\", ' + b"[" * 100 + b"]" * 100 + b"]") == "nested_too_deeply"


@pytest.mark.parametrize("item", [b"[]", b"{}", b'{"a":1}'])
def test_arrays_and_objects_are_limited_in_number(item: bytes) -> None:
    assert len(loads(b"[" + b",".join([item] * (MAX_CONTAINERS - 1)) + b"]")) == MAX_CONTAINERS - 1
    assert code_of(b"[" + b",".join([item] * MAX_CONTAINERS) + b"]") == "too_many_values"
    assert loads(b'["' + b"[" * MAX_CONTAINERS + b'"]'), "brackets in strings do not count"
    assert loads(b"[" + b",".join([item] * MAX_CONTAINERS) + b"]", max_containers=2 * MAX_CONTAINERS)


def test_commas_and_containers_can_be_limited_together() -> None:
    assert loads(b'[1,2,"a,b,c",[]]', max_values=5)
    for data in (b"[1,2,3,4,5,6]", b"[[],[],[]]", b'{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}'):
        with pytest.raises(JsonError) as error:
            loads(data, max_values=5)
        assert str(error.value) == "The JSON has more than 5 values."


@pytest.mark.parametrize("escape", [rb"\\", rb"\"", rb"\\\""])
def test_an_escape_is_recognised_wherever_it_stands(escape: bytes) -> None:
    """The text is looked through in pieces, none of which may end within an escape."""
    brackets = b"[" * 200
    for length in range(65_530, 65_540):
        data = b'{"a":"' + b"x" * length + escape + brackets + b'","b":' + b"[" * 90 + b"]" * 90 + b"}"
        assert loads(data)["a"].endswith(brackets.decode())
        assert code_of(data.replace(b"[" * 90, b"[" * 100)) == "nested_too_deeply"


@pytest.mark.parametrize("data", [b"[" * 1_000_000, b'{"a":' * 200_000, b"[" + b"9" * 1_000_000 + b"]"])
def test_no_data_takes_the_recursion_or_the_conversion_of_numbers_too_far(data: bytes) -> None:
    assert code_of(data) in ("nested_too_deeply", "too_many_values", "number_out_of_range")


def test_text_that_cannot_be_stored_is_found_in_keys_and_values_at_any_depth() -> None:
    assert find_unstorable_text({"a": [{"b": "\\u0000 and \\ud800 as text"}]}) is None
    for text in ("\x00", "\ud800"):
        for value in (text, [text], {text: 1}, {"a": [[{"b": text}]]}, ["\\u0000", text]):
            assert find_unstorable_text(value) is not None
