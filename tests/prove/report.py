"""Collects the results of the drivers and renders the report."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.prove.failpoints import failpoints
from tests.prove.gateway_faults import FAULTS
from tests.prove.mutants import MUTANTS

STORIES_MAX = 3
STORY_LINES_MAX = 150
SAME_LINES_MAX = 3
"""How often a core's hit of one failpoint is shown."""
_KINDS = (
    # Row of the report, and the first words of its violations.
    ("double charges", ("double charge",)),
    ("lost acknowledged effects", ("lost",)),
    ("stuck after the sweep", ("stuck", "the record of", "no final response")),
    ("ledger differences", ("the postings", "the movements")),
)


@dataclass
class Found:
    """The results of all drivers."""

    kills: Counter[str] = field(default_factory=Counter)
    """By database."""
    mutant_kills: int = 0
    points: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    pairs: defaultdict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    crossed: set[tuple[str, str]] = field(default_factory=set)
    """Pairs of failpoint and fault."""
    faults: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    scenarios: int = 0
    operations: int = 0
    charges: int = 0
    replays: int = 0
    cuts: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    broken: list[dict[str, Any]] = field(default_factory=list)
    """Results with violations."""
    mutants: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, database: str, message: dict[str, Any]) -> None:
        """Add a message of a driver."""
        if "mutant" in message:
            self.mutants[message["mutant"]] = message
        elif "killed" in message:
            self.mutant_kills += message["killed"]
        else:
            self._count(database, message["result"])
            if message["result"]["violations"]:
                self.broken.append(message["result"] | {"log": message["log"]})

    def _count(self, database: str, result: dict[str, Any]) -> None:
        self.scenarios += 1
        self.kills[database] += len(result["killed"])
        self.points[database].update(result["killed"])
        self.pairs[database] |= {(one, other) for one, other in result["pairs"]}
        self.crossed |= {(point, result["fault"]) for point in result["killed"]}
        self.faults[result["fault"]] += 1
        self.struck[result["fault"]] += result["struck"]
        self.operations += result["operations"]
        self.charges += result["charges"]
        self.replays += result["replays"]
        self.cuts += result["cuts"]
        self.missed.update(result["missed"])

    @property
    def escaped(self) -> list[str]:
        """The mutants that were not caught."""
        return [name for name, message in self.mutants.items() if not message["caught"]]

    @property
    def holds(self) -> bool:
        """Whether there is no violation and every mutant was caught."""
        return not self.broken and not self.escaped

    def violations(self) -> Counter[str]:
        """Return the number of violations of each kind."""
        counted: Counter[str] = Counter()
        for result in self.broken:
            for violation in result["violations"]:
                kind = next((k for k, starts in _KINDS if violation.startswith(starts)), "others")
                counted[kind] += 1
        return counted

    def progress(self) -> str:
        """Return the progress as a line."""
        pairs = sum(len(pairs) for pairs in self.pairs.values())
        return (
            f"{sum(self.kills.values())} kills, {pairs} pairs, {self.charges} charges, "
            f"{len(self.broken)} scenarios with violations, "
            f"{len(self.mutants) - len(self.escaped)} of {len(self.mutants)} mutants caught"
        )


def render(found: Found, *, seconds: float, processor_seconds: float, mutants_wanted: int) -> str:
    """Return the report."""
    points = failpoints()
    kills = sum(found.kills.values()) + found.mutant_kills
    lines = [
        "",
        _row(
            "kills by SIGKILL", f"{kills}", _by(found.kills + Counter(mutants=found.mutant_kills))
        ),
        _row(
            "",
            f"{kills / seconds:.1f}",
            f"a second, {processor_seconds / max(kills, 1):.2f} s of processor time each",
        ),
        _row("scenarios", f"{found.scenarios}", f"in {seconds:.0f} s, mutants included"),
    ]
    for database, passed in found.points.items():
        covered = len(set(points) & passed.keys())
        lines.append(_row(f"failpoints, {database}", f"{covered}", f"of {len(points)}"))
        pairs = len(found.pairs[database])
        lines.append(_row(f"ordered pairs, {database}", f"{pairs}", f"of {len(points) ** 2}"))
    crossed = len({each for each in found.crossed if each[0] in points})
    lines += [
        _row("failpoints by faults", f"{crossed}", f"of {len(points) * len(FAULTS)}"),
        _row("faults applied", f"{sum(found.struck.values())}", _by(found.struck)),
        _row("connections cut", f"{found.cuts}", "between adapter and core, at any frame"),
        _row("requests", f"{found.operations}", f"and {found.replays} replays compared"),
        _row("charges", f"{found.charges}", "in the gateways' books"),
        "",
    ]
    violations = found.violations()
    for kind, _ in _KINDS:
        lines.append(_row(kind, f"{violations[kind]}", ""))
    lines.append(_row("other violations", f"{violations['others']}", ""))
    caught = len(found.mutants) - len(found.escaped)
    lines.append(_row("mutants caught", f"{caught}", f"of {mutants_wanted}"))
    for name in sorted(found.escaped):
        lines.append(f"    NOT CAUGHT {name}: {MUTANTS[name].bug}")
    lines += ["", *_kills_by_place(found)]
    for database, passed in found.points.items():
        if never := sorted({*points} - passed.keys()):
            lines += ["", f"never reached on {database}:", *(f"    {point}" for point in never)]
    for result in found.broken[:STORIES_MAX]:
        lines += ["", *_story(result)]
    return "\n".join(lines)


def _kills_by_place(found: Found) -> list[str]:
    """Return how often cores were killed before and after each place, in all databases."""
    kills = sum(found.points.values(), Counter[str]())
    places = dict.fromkeys(point.rpartition(".")[0] for point in failpoints())
    counted = [(place, kills[f"{place}.before"], kills[f"{place}.after"]) for place in places]
    return [
        "kills before and after each commit and gateway call:",
        *(f"    {place:<28}{before:>5}{after:>5}" for place, before, after in counted),
    ]


def _row(name: str, number: str, remark: str) -> str:
    return f"{name:<28}{number:>8}  {remark}".rstrip()


def _by(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counted.most_common() if count)


def _story(result: dict[str, Any]) -> list[str]:
    """Return the violations, the seed and the journal of a scenario."""
    return [
        f"PROVE_SEED='{result['seed']}' make prove",
        *(f"    {violation}" for violation in result["violations"]),
        "  what happened:",
        *(f"    {line}" for line in _no_more_than(as_story(result["story"]), STORY_LINES_MAX)),
        *(f"    log: {line}" for line in result["log"]),
    ]


def as_story(journal: Sequence[str]) -> list[str]:
    """Return a journal with seconds since its start, repeated lines removed."""
    lines: list[str] = []
    often: Counter[tuple[str, str]] = Counter()
    begin = float(journal[0].split(" ", 1)[0]) if journal else 0.0
    for entry in journal:
        at, who, what = entry.split(" ", 2)
        often[(who, what)] += 1
        if often[(who, what)] <= SAME_LINES_MAX:
            lines.append(f"{float(at) - begin:7.3f} {who:<9} {what}")
    return lines


def _no_more_than(lines: Sequence[str], most: int) -> list[str]:
    """Return the last lines, and how many were cut."""
    cut = len(lines) - most
    return [f"… {cut} lines before", *lines[-most:]] if cut > 0 else list(lines)
