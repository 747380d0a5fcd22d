"""How long each part of a run takes, and how often its turns come round."""

from dataclasses import dataclass

DEFAULT_SECONDS = 90.0
SMALL_SECONDS = 1.2
_MOST_SECONDS = 3600.0
_WARM_UP, _ROUND_TRIPS, _CHARGES, _IN_PROCESS = 0.08, 0.30, 0.52, 0.10
"""The shares of the whole."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run may spend. The variants of a part take turns, `rounds` times each."""

    seconds: float
    wallets: int
    client_counts: tuple[int, ...] = (1, 32, 128)
    round_trip_rounds: int = 10
    charge_rounds: int = 5
    in_process_rounds: int = 10

    @classmethod
    def of(cls, seconds: float) -> "Plan":
        """Return the plan of a run that measures for about so many seconds."""
        return cls(seconds=seconds, wallets=64)

    @classmethod
    def small(cls) -> "Plan":
        """Return the plan that proves the bench itself: every row, hardly a number in it."""
        return cls(
            seconds=SMALL_SECONDS,
            wallets=4,
            client_counts=(1, 2, 4),
            round_trip_rounds=2,
            charge_rounds=2,
            in_process_rounds=2,
        )

    @property
    def limit_seconds(self) -> float:
        """After how long the run is broken off, starting and stopping included."""
        return 2 * self.seconds + 60.0

    def round_trip_seconds(self, variants: int) -> float:
        """Return how long one turn of one way to read a wallet takes."""
        return self.seconds * _ROUND_TRIPS / (self.round_trip_rounds * variants)

    def charge_seconds(self, variants: int) -> float:
        """Return how long one turn of one way to charge takes."""
        return self.seconds * _CHARGES / (self.charge_rounds * variants)

    def in_process_seconds(self, variants: int) -> float:
        """Return how long one turn of one function takes."""
        return self.seconds * _IN_PROCESS / (self.in_process_rounds * variants)

    def warm_up_seconds(self, variants: int) -> float:
        """Return how long each way to call is warmed up, in each of the two parts."""
        return self.seconds * _WARM_UP / 2 / variants


def read_seconds(text: str) -> float:
    """Return the value of BENCH_SECONDS.

    Raises:
        ValueError: it is not a number of seconds that a run can take.
    """
    try:
        seconds = float(text) if text else DEFAULT_SECONDS
    except ValueError:
        seconds = 0.0
    if not 1.0 <= seconds <= _MOST_SECONDS:
        raise ValueError("BENCH_SECONDS is not a number of seconds from 1 to 3600")
    return seconds
