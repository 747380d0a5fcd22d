"""How much each part measures, and when a run is cancelled."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a run. The variants of a part alternate for `rounds` rounds, after a warm-up."""

    rounds: int = 4
    turn_seconds: float = 2.0
    """Of one variant in one round."""
    warm_up_seconds: float = 1.0
    limit_seconds: float = 1800.0
    """Of the whole run, with starts and stops."""
    clients: int = 32
    many_clients: int = 128
    wallets: int = 1000
    businesses: int = 100
    charges: int = 2000
    charges_in_flight: int = 500
    list_rows: int = 1_000_000
    small_list_rows: int = 1_000
    due_jobs: int = 10_000
    """In the smallest of the tables that claims are measured on; the largest has 100 times more."""
    due_charges: int = 1_000
    merchants: int = 20

    @classmethod
    def small(cls) -> "Size":
        """Return the size of a run that tests the benchmark itself; its figures mean nothing."""
        return cls(
            rounds=2,
            turn_seconds=0.05,
            warm_up_seconds=0.0,
            limit_seconds=160.0,
            clients=4,
            many_clients=8,
            wallets=6,
            businesses=3,
            charges=40,
            charges_in_flight=10,
            list_rows=12_000,
            due_jobs=600,
            due_charges=40,
            merchants=4,
        )

    def with_rounds(self, rounds: int) -> "Size":
        """Return the same size with another number of rounds."""
        return replace(self, rounds=rounds)
