"""The scale on which a person scores: the buttons and their keys that fit the configuration of a score's name.

Pure functions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from promptcrafter.http.fields import as_number
from promptcrafter.logs.fields import SCORE_MAX
from promptcrafter.scores.models import ScoreConfig

BUTTONS_MAX = 11  # of a range of numbers; a longer one has a field instead
_BY_POSITION = "1234567890"


@dataclass(frozen=True)
class Choice:
    """A button: the value that it sends, what it says, and the key that presses it, empty without one."""

    value: str
    text: str
    key: str


@dataclass(frozen=True)
class Scale:
    """How a score is given: by one of the choices, or without any in a field for a number with these limits."""

    label: str
    choices: Sequence[Choice] = field(default_factory=tuple)
    minimum: float | None = None
    maximum: float | None = None


def make_scale(config: ScoreConfig | None) -> Scale:
    """Return the scale of a configuration; without one it is that of the `score` of a log, from 0 to 10."""
    if config is None:
        return _number_scale(0, SCORE_MAX)
    if config.kind == "boolean":
        return Scale("Yes or no", (Choice("true", "Yes", "1"), Choice("false", "No", "0")))
    if config.kind == "category":
        return Scale("One of the categories", _by_position([(each, each) for each in config.categories or ()]))
    return _number_scale(config.minimum, config.maximum)


def write_value(value: float | bool | str | None) -> str:
    """Return the value of a score, or a limit of it, as buttons and fields have it.

    A number has neither the minus nor the separators with which pages show one, which browsers do not read.
    """
    if isinstance(value, bool):
        return str(value).lower()
    return str(as_number(value)) if isinstance(value, float) else str(value)


def _number_scale(minimum: float | None, maximum: float | None) -> Scale:
    if minimum is None or maximum is None or minimum % 1 or maximum % 1 or maximum - minimum >= BUTTONS_MAX:
        named = (("from", minimum), ("to", maximum))
        limits = [f"{word} {_show(limit)}" for word, limit in named if limit is not None]
        return Scale(" ".join(["A number", *limits]), (), minimum, maximum)
    values = range(int(minimum), int(maximum) + 1)
    label = f"Score from {_show(values[0])} to {_show(values[-1])}"
    if values[0] >= 0 and values[-1] <= SCORE_MAX:
        return Scale(label, tuple(Choice(str(each), str(each), str(each) if each < 10 else "t") for each in values))
    return Scale(label, _by_position([(str(each), _show(each)) for each in values]))


def _show(number: float) -> str:
    """Return a whole number, not rounded, with the minus of pages."""
    return str(as_number(number)).replace("-", "−")


def _by_position(pairs: Sequence[tuple[str, str]]) -> tuple[Choice, ...]:
    keys = [*_BY_POSITION, *[""] * len(pairs)]
    return tuple(Choice(value, text, key) for (value, text), key in zip(pairs, keys, strict=False))
