"""What a part found: figures beside their goals, and books that balance or not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.bench.accounts import Books
from tests.bench.samples import Spread


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should be."""

    bound: float
    is_least: bool

    def is_met(self, value: float) -> bool:
        """Return whether a value reaches the goal."""
        return value >= self.bound if self.is_least else value <= self.bound


def at_least(bound: float) -> Goal:
    """Return the goal of a figure that should be high."""
    return Goal(bound, is_least=True)


def at_most(bound: float) -> Goal:
    """Return the goal of a figure that should be low."""
    return Goal(bound, is_least=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table."""

    what: str
    value: Spread
    unit: str
    """`x` for a ratio."""
    goal: Goal | None = None
    detail: str = ""
    """The absolute figures behind it, which other machines do not share."""

    @property
    def is_met(self) -> bool:
        """Whether it reaches its goal, if it has one."""
        return self.goal is None or self.goal.is_met(self.value.median)

    def cells(self) -> list[str]:
        """Return the cells of its row."""
        goal = ""
        if self.goal is not None:
            goal = f"{'≥' if self.goal.is_least else '≤'} {_with_unit(self.goal.bound, self.unit)}"
        met = "" if self.goal is None else "yes" if self.is_met else "**no**"
        value = f"{_with_unit(self.value.median, self.unit)} ±{self.value.percent:.0f} %"
        return [self.what, goal, value, met]


@dataclass(frozen=True, slots=True)
class Result:
    """What one part found."""

    figures: Sequence[Figure]
    books: dict[str, Books] = field(default_factory=dict)
    """By database; empty for a part that moves no money."""


HEADING = ["| what | goal | measured | met |", "|---|---|---|---|"]


def markdown(results: dict[str, Result]) -> Iterator[str]:
    """Yield the lines of one table of all figures, then what is behind them, then the books."""
    figures = [(part, figure) for part, result in results.items() for figure in result.figures]
    yield from HEADING
    for _, figure in figures:
        yield f"| {' | '.join(figure.cells())} |"
    yield ""
    for part, figure in figures:
        if figure.detail:
            yield f"- `{part}`, {figure.what}: {figure.detail}"
    yield ""
    for part, result in results.items():
        for name, books in result.books.items():
            yield f"- books of `{part}`, {name}: {books.verdict}"


def _with_unit(value: float, unit: str) -> str:
    size = abs(value)
    digits = 3 if size < 0.1 else 2 if size < 10 else 1 if size < 100 else 0
    return f"{value:,.{digits}f}{'' if unit == 'x' else ' '}{unit}"
