"""What pages say about two groups: only what is settled is better."""

from typing import Any

import pytest

from promptcrafter.pages import verdicts
from promptcrafter.pages.verdicts import describe, describe_difference

NAMES = {"a": "version 1", "b": "version 2"}
COMPARISON: dict[str, Any] = {
    **{"difference": 0.7, "interval95": [0.2, 1.2], "basis": "randomised", "higher": "b", "settled": None},
    **{"equivalent": False, "warnings": [], "oneLook": False, "n": 40, "needed": None},
}
OPEN = {"interval95": [-0.3, 1.7], "higher": None}


@pytest.mark.parametrize(
    ("changes", "sentence", "certainty"),
    [
        ({"settled": "b"}, "Version 2 is better than version 1 by 0.7 (95% interval: 0.2 to 1.2).", "settled"),
        (
            {"difference": -0.7, "interval95": [-1.2, -0.2], "higher": "a", "settled": "a"},
            *("Version 1 is better than version 2 by 0.7 (95% interval: 0.2 to 1.2).", "settled"),
        ),
        ({"settled": "a"}, "Version 1 is better than version 2 by 0.7 (95% interval: 0.2 to 1.2).", "settled"),
        (
            {"basis": "observational", "higher": None},
            *("Version 2 scored higher than version 1 by 0.7 (95% interval: 0.2 to 1.2).", "observed"),
        ),
        ({"oneLook": True, "higher": None}, "Version 2 scored higher than version 1 by 0.7", "observed"),
        ({}, "Version 2 scored higher than version 1 by 0.7 (95% interval: 0.2 to 1.2).", "higher"),
        ({"equivalent": True}, "Version 2 and version 1 are equally good", "equal"),
        (
            OPEN,
            "Version 2 and version 1 cannot be told apart yet: the difference of 0.7 may be chance, and be anything "
            "between −0.3 and 1.7.",
            "open",
        ),
        (
            {**OPEN, "interval95": None},
            *("Version 2 and version 1 cannot be told apart yet: there are too few scores.", "open"),
        ),
        (
            {**OPEN, "difference": 0.0, "interval95": [-1.0, 1.0]},
            *("cannot be told apart yet: their means are equal", "open"),
        ),
        ({**OPEN, "basis": "observational"}, "cannot be told apart yet", "open"),
        (
            {**OPEN, "needed": 51},
            *("between −0.3 and 1.7. If the difference stays as it is, about 11 more scores will tell.", "open"),
        ),
        (
            {**OPEN, "needed": 1275, "basis": "paired"},
            *("If the difference stays as it is, about 1,300 more inputs that both answer will tell.", "open"),
        ),
        (
            {**OPEN, "interval95": None, "needed": 49},
            *("there are too few scores. If the difference stays as it is, about 9 more scores will tell.", "open"),
        ),
    ],
)
def test_a_comparison_is_said_in_words(changes: dict[str, Any], sentence: str, certainty: str) -> None:
    verdict = describe({**COMPARISON, **changes}, NAMES)
    assert verdict is not None
    assert sentence in verdict.sentence
    assert verdict.certainty == certainty
    assert ("better" in verdict.sentence) is (certainty == "settled")
    assert "-" not in verdict.sentence, "a negative number has a minus"


def test_what_has_no_difference_says_nothing() -> None:
    assert describe({**COMPARISON, "difference": None}, NAMES) is None


def test_the_name_of_a_model_is_written_as_it_is() -> None:
    verdict = describe({**COMPARISON, "settled": "b"}, {"a": "gpt-4o", "b": "gpt-4o-mini"}, keeps_case=True)
    assert verdict is not None
    assert verdict.sentence.startswith("gpt-4o-mini is better than gpt-4o ")


def test_warnings_take_nothing_back_from_what_is_settled() -> None:
    warnings = ["The raters differ", "The weeks differ", "The shares of scored logs differ"]
    settled = describe({**COMPARISON, "settled": "b", "warnings": warnings}, NAMES)
    observed = describe({**COMPARISON, "basis": "observational", "higher": None, "warnings": warnings[:1]}, NAMES)
    assert settled is not None
    assert observed is not None
    said = "They also differ in who scored them, the weeks they are from and which of them were chosen to be scored."
    assert settled.caveat == said
    assert observed.caveat == "A difference may also come from who scored them."
    assert describe(COMPARISON, NAMES)._replace(warnings=()).caveat == ""  # type: ignore[union-attr]
    assert "at random" in settled.basis
    assert "Only observed, in 40 scored outputs" in observed.basis


def test_many_verdicts_are_grouped_with_the_surest_first() -> None:
    kinds: list[dict[str, Any]] = [OPEN, {"settled": "b"}, OPEN, {"equivalent": True}, *[{"settled": "b"}] * 7]
    said = [each for each in (describe({**COMPARISON, **kind}, NAMES) for kind in kinds) if each is not None]
    groups = verdicts.group(verdicts.sort(said))
    assert [(group.heading, len(group.first), len(group.others)) for group in groups] == [
        *(("Settled", 6, 2), ("Equally good", 1, 0), ("Cannot be told apart yet", 0, 2)),
    ]
    (few,) = verdicts.group(verdicts.sort(said[:3]))
    assert (few.heading, [verdict.certainty for verdict in few.first]) == ("", ["settled", "open", "open"])
    assert verdicts.group([]) == []
    (many,) = verdicts.group(said[1:2] * 100)
    assert (many.size, len(many.first), len(many.others), many.left_out) == (100, 6, 60, 34)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ((17.7, [10.3, 25.0], True, None), "Polite is higher than answer first by 17.7 (95% interval: 10.3 to 25)."),
        ((-17.7, [-25.0, -10.3], True, None), "Polite is lower than answer first by 17.7 (95% interval: 10.3 to 25)."),
        (
            (3.2, [-2.0, 8.0], False, None),
            "Not settled yet: polite is higher than answer first by 3.2 so far. The difference may be anything between "
            "−2 and 8, zero included.",
        ),
        (
            (3.2, [-2.0, 8.0], False, 143),
            "Not settled yet: polite is higher than answer first by 3.2 so far. The difference may be anything between "
            "−2 and 8, zero included. If the difference stays as it is, about 110 more results of both will tell.",
        ),
        (
            (-3.2, None, False, None),
            "Not settled yet: polite is lower than answer first by 3.2 so far, of too few results for an interval.",
        ),
        (
            (0.0, None, False, None),
            "Not settled yet: polite is the same as answer first so far, of too few results for an interval.",
        ),
    ],
)
def test_a_difference_of_an_experiment_has_no_better(found: tuple[Any, ...], sentence: str) -> None:
    difference = {"n": 40, **dict(zip(("difference", "interval95", "settled", "needed"), found, strict=True))}
    verdict = describe_difference("polite", "answer first", difference)
    assert verdict.sentence == sentence
    assert (verdict.certainty == "settled") is found[2]


def test_what_cannot_be_told_apart_names_its_pairs_because_their_difference_is_not_that_of_the_means() -> None:
    pairs, others = (describe({**COMPARISON, **OPEN, "basis": basis}, NAMES) for basis in ("paired", "observational"))
    assert pairs is not None
    assert others is not None
    assert "the first scored output of each, not all outputs" in pairs.basis
    assert others.basis == ""
