"""What pages say about two groups: only what is settled is better."""

from typing import Any

import pytest

from promptcrafter.pages.verdicts import describe

NAMES = {"a": "version 1", "b": "version 2"}
COMPARISON: dict[str, Any] = {
    **{"difference": 0.7, "interval95": [0.2, 1.2], "basis": "randomised", "higher": "b", "settled": None},
    **{"equivalent": False, "warnings": []},
}


@pytest.mark.parametrize(
    ("changes", "sentence", "certainty"),
    [
        ({"settled": "b"}, "version 2 is better than version 1 by 0.7, between 0.2 and 1.2.", "settled"),
        (
            {"difference": -0.7, "interval95": [-1.2, -0.2], "higher": "a", "settled": "a"},
            *("version 1 is better than version 2 by 0.7, between 0.2 and 1.2.", "settled"),
        ),
        ({"basis": "observational"}, "version 2 scored higher than version 1 by 0.7", "observed"),
        ({"equivalent": True}, "version 2 and version 1 are equally good", "equal"),
        ({}, "version 2 and version 1 cannot be told apart yet: 0.7 apart", "open"),
        ({"interval95": None, "higher": None}, "version 2 and version 1 cannot be told apart yet: 0.7 apart.", "open"),
        ({"basis": "observational", "higher": None}, "cannot be told apart yet", "open"),
    ],
)
def test_a_comparison_is_said_in_words(changes: dict[str, Any], sentence: str, certainty: str) -> None:
    verdict = describe({**COMPARISON, **changes}, NAMES)
    assert verdict is not None
    assert sentence in verdict.sentence
    assert verdict.certainty == certainty
    assert ("better" in verdict.sentence) is (certainty == "settled")


def test_what_has_no_difference_says_nothing() -> None:
    assert describe({**COMPARISON, "difference": None}, NAMES) is None
