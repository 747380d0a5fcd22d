"""The order of scenarios: every failpoint, every ordered pair of failpoints, then random ones."""

import random
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import TypeVar

from tests.prove.failpoints import failpoints
from tests.prove.gateway_faults import FAULTS
from tests.prove.scenario import ANY_MOMENT, DATABASES, Scenario

CHAIN_KILLS = 6


def every_failpoint(database: str, number: int) -> Iterator[Scenario]:
    """Return scenarios that kill at every failpoint once, in chains."""
    points = _shuffled(failpoints(), number + DATABASES.index(database))
    faults = cycle(_shuffled(list(FAULTS), number))
    for first in range(0, len(points), CHAIN_KILLS):
        kills = tuple(points[first : first + CHAIN_KILLS])
        yield Scenario(database, number + first, next(faults), kills)


def every_pair(database: str, number: int) -> list[Scenario]:
    """Return scenarios that kill at every ordered pair of failpoints, in chains.

    The chains are parts of one sequence that contains every pair once (de Bruijn, of order two),
    each beginning with the last failpoint of the one before.
    """
    points = _shuffled(failpoints(), number)
    sequence = [points[place] for place in _de_bruijn(len(points))]
    sequence.append(sequence[0])
    faults = cycle(_shuffled(list(FAULTS), number))
    step = CHAIN_KILLS - 1
    chains = [
        Scenario(database, number + first, next(faults), tuple(sequence[first : first + step + 1]))
        for first in range(0, len(sequence) - 1, step)
    ]
    return _shuffled(chains, number)


def random_scenarios(database: str, number: int) -> Iterator[Scenario]:
    """Return an endless series of random scenarios, with some kills at random moments."""
    rng = random.Random(number)  # noqa: S311 - no secret
    points = [*failpoints(), *[ANY_MOMENT] * (len(failpoints()) // 3)]
    while True:
        kills = tuple(rng.choice(points) for _ in range(rng.randint(1, CHAIN_KILLS)))
        yield Scenario(database, rng.randrange(10**6), rng.choice(list(FAULTS)), kills)


def systematic(database: str, number: int, part: int = 0, parts: int = 1) -> Iterator[Scenario]:
    """Return every fault alone, every failpoint, every pair mixed with random ones, then random.

    Each driver of a database runs one part.
    """
    randoms = random_scenarios(database, number + part)
    alone = [Scenario(database, number, fault, ()) for fault in FAULTS]
    yield from [*alone, *every_failpoint(database, number)][part::parts]
    for place, scenario in enumerate(every_pair(database, number)[part::parts], start=1):
        yield scenario
        if place % 10 == 0:
            yield from islice(randoms, 1)
    yield from randoms


_Thing = TypeVar("_Thing")


def _shuffled(things: Sequence[_Thing], number: int) -> list[_Thing]:
    return random.Random(number).sample(things, len(things))  # noqa: S311 - no secret


def _de_bruijn(symbols: int) -> Iterator[int]:
    """Return a cyclic sequence of numbers below `symbols` that contains every pair once."""
    for one in range(symbols):
        yield one
        for other in range(one + 1, symbols):
            yield from (one, other)
