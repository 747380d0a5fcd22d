"""A scenario: a chain of kills and a fault at the gateway, completely described by its seed.

And its result.
"""

import random
from dataclasses import dataclass, field, replace
from typing import Self

from tests.prove.failpoints import failpoints
from tests.prove.gateway_faults import ALL_FAULTS

DATABASES = ("sqlite", "postgresql")
ANY_MOMENT = "moment"
"""A kill at a random moment instead of a failpoint."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A chain of kills; each after the first happens during recovery."""

    database: str
    number: int
    """Seed of the random operations, hits and pauses."""
    fault: str
    kills: tuple[str, ...]
    mutant: str = ""

    @property
    def seed(self) -> str:
        """The scenario as text, for PROVE_SEED."""
        parts = [self.database, str(self.number), self.fault, ",".join(self.kills)]
        return ":".join([*parts, self.mutant] if self.mutant else parts)

    @classmethod
    def parse(cls, seed: str) -> Self:
        """Return the scenario of a seed.

        Raises:
            ValueError: the seed is malformed; the message says why.
        """
        parts = seed.split(":")
        if not 4 <= len(parts) <= 5 or not parts[1].isdigit():
            raise ValueError("is not <database>:<number>:<fault>:<kill>[,<kill>…][:<mutant>]")
        kills = tuple(kill for kill in parts[3].split(",") if kill)
        known = {*failpoints(), ANY_MOMENT}
        if unknown := [kill for kill in kills if kill not in known]:
            raise ValueError(f"names no failpoint {unknown[0]}")
        if parts[0] not in DATABASES or parts[2] not in ALL_FAULTS:
            raise ValueError(
                f"databases are {', '.join(DATABASES)}; faults are {', '.join(ALL_FAULTS)}"
            )
        return cls(parts[0], int(parts[1]), parts[2], kills, parts[4] if len(parts) > 4 else "")

    def with_mutant(self, mutant: str) -> "Scenario":
        """Return the same scenario for a core with a mutant's bug."""
        return replace(self, mutant=mutant)

    def rng(self) -> random.Random:
        """Return its random numbers, the same with and without a mutant."""
        return random.Random(self.seed.rpartition(":")[0] if self.mutant else self.seed)  # noqa: S311


@dataclass(frozen=True, slots=True)
class Mode:
    """What happens in a scenario besides the charges of its clients."""

    has_webhooks: bool = False
    """Whether gateways send events, and cardholders and merchants act at the gateways."""
    has_jobs: bool = False
    has_poison: bool = False
    """Whether another business's rows cannot be carried out."""
    play: str = ""
    """The name of its play, see `tests.prove.plays`."""
    has_story: bool = False
    """Whether days pass at the end, with kills, jobs, refunds and disputes."""
    has_holds: bool = False
    """Whether clients transfer and hold money of wallets."""
    has_captures: bool = False
    """Whether clients authorize payments, and capture or void them."""


CHARGES_ONLY = Mode()


@dataclass
class Result:
    """The result of a scenario."""

    seed: str
    killed: list[str] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    fault: str = ""
    struck: int = 0
    cuts: int = 0
    """How often the connection between adapter and core was cut."""
    operations: int = 0
    charges: int = 0
    replays: int = 0
    violations: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    seconds: float = 0.0
