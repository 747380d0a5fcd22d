"""The time and the number of rounds of each part of a run."""

from dataclasses import dataclass

DEFAULT_SECONDS = 180.0
SMALL_SECONDS = 1.2
_MOST_SECONDS = 3600.0
_WARM_UP, _ROUND_TRIPS, _CHARGES, _IN_PROCESS = 0.04, 0.15, 0.26, 0.05
_DEBIT_WARM_UP = 8 / DEFAULT_SECONDS
_DEBITS = 0.5 - _DEBIT_WARM_UP
"""The shares of the measuring time."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """Warm-up, number of rounds and length of a round of one variant."""

    warm_up_seconds: float
    rounds: int
    seconds: float
    """Of one round."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The time budget of a run. The variants of a part alternate for `rounds` rounds."""

    seconds: float
    wallets: int
    client_counts: tuple[int, ...] = (1, 32, 128)
    debit_wallets: int = 1000
    debit_clients: int = 32
    round_trip_rounds: int = 10
    charge_rounds: int = 5
    debit_rounds: int = 5
    in_process_rounds: int = 10

    @classmethod
    def of(cls, seconds: float) -> "Plan":
        """Return the plan for about this measuring time."""
        return cls(seconds=seconds, wallets=64)

    @classmethod
    def small(cls) -> "Plan":
        """Return the plan of a minimal run, which has every row but no reliable numbers."""
        return cls(
            seconds=SMALL_SECONDS,
            wallets=4,
            client_counts=(1, 2, 4),
            debit_wallets=4,
            debit_clients=4,
            round_trip_rounds=2,
            charge_rounds=2,
            debit_rounds=2,
            in_process_rounds=2,
        )

    @property
    def limit_seconds(self) -> float:
        """Time limit of the whole run, with starts and stops."""
        return 2 * self.seconds + 120.0

    def round_trips(self, variants: int) -> Rounds:
        """Return the budget of each variant of reading a wallet."""
        return self._rounds(_WARM_UP / 2, self.round_trip_rounds, _ROUND_TRIPS, variants)

    def charges(self, variants: int) -> Rounds:
        """Return the budget of each variant of charging."""
        return self._rounds(_WARM_UP / 2, self.charge_rounds, _CHARGES, variants)

    def debits(self, variants: int) -> Rounds:
        """Return the budget of each variant of a debit on PostgreSQL."""
        return self._rounds(_DEBIT_WARM_UP, self.debit_rounds, _DEBITS, variants)

    def in_process_seconds(self, variants: int) -> float:
        """Return the seconds of one round of one function."""
        return self.seconds * _IN_PROCESS / (self.in_process_rounds * variants)

    def _rounds(self, warm_up: float, rounds: int, share: float, variants: int) -> Rounds:
        return Rounds(
            warm_up_seconds=self.seconds * warm_up / variants,
            rounds=rounds,
            seconds=self.seconds * share / (rounds * variants),
        )


def read_seconds(text: str) -> float:
    """Return the value of BENCH_SECONDS.

    Raises:
        ValueError: it is no number, or out of range.
    """
    try:
        seconds = float(text) if text else DEFAULT_SECONDS
    except ValueError:
        seconds = 0.0
    if not 1.0 <= seconds <= _MOST_SECONDS:
        raise ValueError("BENCH_SECONDS is not a number of seconds from 1 to 3600")
    return seconds
