"""The measured figures and their table."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

_HEAD = ("Figure", "Database", "Ours", "Raw ceiling", "Ratio", "Goal", "Met")


@dataclass(frozen=True)
class Goal:
    """The goal of a figure: the service's value, or its ratio to the raw ceiling, is at most or at least `limit`."""

    sign: Literal["≤", "≥"]
    limit: float
    of_ratio: bool = False

    def is_met(self, value: float) -> bool:
        """Return whether a value meets the goal."""
        return value <= self.limit if self.sign == "≤" else value >= self.limit


@dataclass(frozen=True)
class Figure:
    """The values of a figure in each round, in `unit`: the service's, and the raw ceiling's if it was measured."""

    name: str
    database: str
    unit: str
    ours: Sequence[float]
    raw: Sequence[float] = field(default=())
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios of the service to the raw ceiling; None without a ceiling."""
        if not self.raw or 0 in self.raw:
            return None
        return statistics.median(ours / raw for ours, raw in zip(self.ours, self.raw, strict=True))

    def cells(self) -> list[str]:
        """Return the figure as a row of the table."""
        ours, ratio = statistics.median(self.ours), self.ratio
        raw = f"{_round(statistics.median(self.raw))} {self.unit}".strip() if self.raw else "–"
        goal, met = "–", "–"
        if self.goal:
            of = "× raw" if self.goal.of_ratio else self.unit
            reached = ratio if self.goal.of_ratio else ours
            goal = f"{self.goal.sign} {self.goal.limit:,} {of}".strip()
            met = "yes" if reached is not None and self.goal.is_met(reached) else "**no**"
        shown_ratio = "–" if ratio is None else f"{ratio:.2f}"
        return [self.name, self.database, f"{_round(ours)} {self.unit}".strip(), raw, shown_ratio, goal, met]


def write(figures: Iterable[Figure]) -> str:
    """Return the figures as a Markdown table."""
    rows = [_HEAD, ["---"] * len(_HEAD), *(figure.cells() for figure in figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _round(value: float) -> str:
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
