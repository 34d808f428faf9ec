"""The buttons of a scale and their keys."""

import pytest

from promptcrafter.pages.scales import make_scale, write_value
from promptcrafter.scores.models import ScoreConfig


def _numbers(minimum: float | None, maximum: float | None) -> ScoreConfig:
    return ScoreConfig(kind="number", minimum=minimum, maximum=maximum)


def _keys(config: ScoreConfig | None) -> dict[str, str]:
    return {choice.value: choice.key for choice in make_scale(config).choices}


def test_a_score_without_a_configuration_goes_from_0_to_10_with_t_for_ten() -> None:
    assert _keys(None) == {**{str(each): str(each) for each in range(10)}, "10": "t"}


def test_numbers_of_a_short_range_have_buttons_by_value_or_by_position() -> None:
    assert _keys(_numbers(1, 5)) == {str(each): str(each) for each in range(1, 6)}
    assert _keys(_numbers(-1, 1)) == {"-1": "1", "0": "2", "1": "3"}


@pytest.mark.parametrize("limits", [(None, None), (0, None), (0, 100), (0.5, 3), (0, 11)])
def test_other_numbers_have_a_field(limits: tuple[float | None, float | None]) -> None:
    scale = make_scale(_numbers(*limits))
    assert (scale.choices, scale.minimum, scale.maximum) == ((), *limits)


def test_yes_or_no_and_categories_have_a_button_each_and_those_beyond_ten_no_key() -> None:
    assert _keys(ScoreConfig(kind="boolean")) == {"true": "1", "false": "0"}
    keys = _keys(ScoreConfig(kind="category", categories=[f"c{each}" for each in range(12)]))
    assert list(keys.values()) == [*"1234567890", "", ""]


def test_values_are_written_as_the_buttons_send_them() -> None:
    assert [write_value(each) for each in (True, False, 7.0, 7.5, "good")] == ["true", "false", "7", "7.5", "good"]
