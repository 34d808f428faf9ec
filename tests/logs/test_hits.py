"""Where the words of a query are in a text."""

import pytest

from promptcrafter.logs.hits import find_hits, make_pattern


@pytest.mark.parametrize(
    ("query", "text", "words"),
    [
        ("roman* law", "The Roman Romans, LAW and lawn", ["Roman", "Romans", "LAW"]),
        ("straße", "Eine Straße, eine STRASSE", ["Straße", "STRASSE"]),
        ("世界", "你好世界", ["世界"]),
        ('"shared roads" -dust', "shared roads, dust", ["shared", "roads"]),
        ("a.b", "a b (c)", ["a", "b"]),
        ("nothing", "here", []),
        ("...", "here", []),
    ],
)
def test_the_words_of_a_query_are_found_as_the_index_folds_them(query: str, text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in find_hits(make_pattern(query), text)] == words


def test_of_a_long_text_the_beginning_is_looked_at_and_a_bounded_number_of_hits_is_found() -> None:
    pattern = make_pattern("a")
    assert len(find_hits(pattern, "a " * 500_000)) == 200
    assert find_hits(pattern, "b " * 500_000 + "a") == []
