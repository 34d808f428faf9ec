"""Variables whose braces are open on one side."""

import pytest

from promptcrafter.prompts.unclosed import find_unclosed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Answer {{complaint", ["{{complaint"]),
        ("Answer {{ complaint now", ["{{complaint"]),
        ("Answer {{complaint}", ["{{complaint"]),
        ("Answer complaint }} now", ["complaint}}"]),
        ("Answer {complaint}}", ["complaint}}"]),
        ("{{complaint and {{order}}", ["{{complaint"]),
        ("{{a\n{{b\nc}}\n{{d", ["{{a", "{{b", "c}}"]),
        ("{{a {{a {{a", ["{{a"]),
        ("{{complaint}} {{ order.id }}", []),
        ('{"a": {"b": 1}}', []),
        ('{"a": {"b": {{topic}}}}', []),
        ('{\n"a": {\n"b": true}}', []),
        ('{{\n"a": 1\n}}', []),
        ("{{#each topics}} {{name | upper}} {{/each}}", []),
        ("{ a } {{ }} }} {{", []),
        ("", []),
    ],
)
def test_a_variable_without_one_pair_of_its_braces_is_found(text: str, expected: list[str]) -> None:
    assert find_unclosed(text) == expected


def test_all_texts_are_looked_through_and_long_names_are_cut() -> None:
    assert find_unclosed("{{a}}", "{{b", "c}}") == ["{{b", "c}}"]
    assert find_unclosed("{{" + "a" * 1000) == ["{{" + "a" * 100 + "…"]
    assert [len(each) for each in find_unclosed("a" * 1000 + "}}")] == [102]


@pytest.mark.parametrize("piece", ["{", "}", "a", "{{", "{{ ", "a}}", "{{a", "{{a\n", "a ", "-."])
def test_long_texts_are_looked_through(piece: str) -> None:
    assert len(find_unclosed(piece * 100_000)) <= 3
