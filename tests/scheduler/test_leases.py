"""The order of turns, the room for claims, and expiry; without a clock."""

from nivisco.internal.v1.occurrences_pb2 import OccurrenceLease
from scheduler.leases import Leases


def lease(business_id: str, number: int, token: int = 1) -> OccurrenceLease:
    return OccurrenceLease(
        business_id=business_id, recurring_id=f"REC-{number}", fencing_token=token
    )


def taken(leases: Leases, now: float = 0.0) -> list[str]:
    found = []
    while one := leases.take(now):
        found.append(f"{one.business_id}{one.recurring_id.removeprefix('REC-')}")
    return found


def test_businesses_take_turns_and_each_keeps_its_order() -> None:
    leases = Leases(concurrency=6, per_business=4)
    leases.add([lease("a", n) for n in range(5)] + [lease("b", 5), lease("c", 6)], until=10.0)
    assert taken(leases) == ["a0", "b5", "c6", "a1", "a2", "a3"]
    assert (leases.in_flight, leases.waiting) == (6, 1)


def test_concurrency_is_bounded_in_all_and_by_business() -> None:
    leases = Leases(concurrency=4, per_business=3)
    leases.add([lease("a", n) for n in range(5)], until=10.0)
    assert taken(leases) == ["a0", "a1", "a2"]
    assert leases.busy_businesses() == {"a"}
    assert leases.room == 4 - 2
    leases.add([lease("b", 5), lease("b", 6)], until=10.0)
    assert taken(leases) == ["b5"]
    leases.done(lease("a", 1))
    assert taken(leases) == ["a3"]  # a waits for longer than b's second one
    leases.done(lease("a", 0))
    assert taken(leases) == ["b6"]
    assert leases.room == 4 - 1
    leases.add([lease("c", n) for n in range(7, 10)], until=10.0)
    assert leases.room == 0


def test_a_lease_that_expired_while_waiting_is_not_executed() -> None:
    leases = Leases(concurrency=1, per_business=1)
    leases.add([lease("a", 0), lease("a", 1), lease("b", 2)], until=10.0)
    assert taken(leases, 9.9) == ["a0"]
    leases.add([lease("b", 3)], until=20.0)
    leases.done(lease("a", 0))
    assert taken(leases, 10.0) == ["b3"]
    assert (leases.in_flight, leases.waiting) == (1, 0)


def test_a_renewal_keeps_the_leases_that_the_core_returns_and_drops_the_others() -> None:
    leases = Leases(concurrency=1, per_business=1)
    leases.add([lease("a", 0), lease("a", 1), lease("a", 2)], until=10.0)
    assert taken(leases) == ["a0"]
    current = leases.unexpired(5.0)
    assert len(current) == 3
    assert leases.renewed(current, [lease("a", 2)], until=25.0) == 2
    assert [one.recurring_id for one in leases.unexpired(24.9)] == ["REC-2"]
    assert leases.in_flight == 1  # until the core has refused it
    leases.done(lease("a", 0))
    assert taken(leases, 24.9) == ["a2"]


def test_a_lease_executed_during_a_renewal_does_not_count_as_lost() -> None:
    leases = Leases(concurrency=1, per_business=1)
    leases.add([lease("a", 0), lease("a", 1)], until=10.0)
    assert taken(leases) == ["a0"]
    requested = leases.unexpired(5.0)
    leases.done(lease("a", 0))
    assert leases.renewed(requested, [lease("a", 1)], until=25.0) == 0
    assert [one.recurring_id for one in leases.unexpired(24.9)] == ["REC-1"]


def test_a_later_claim_of_an_occurrence_is_another_lease() -> None:
    leases = Leases(concurrency=2, per_business=2)
    leases.add([lease("a", 0, token=1)], until=10.0)
    assert taken(leases) == ["a0"]
    leases.add([lease("a", 0, token=2)], until=30.0)
    assert taken(leases, 11.0) == ["a0"]
    leases.done(lease("a", 0, token=1))
    assert [one.fencing_token for one in leases.unexpired(11.0)] == [2]
    leases.done(lease("a", 0, token=2))
    assert (leases.in_flight, leases.waiting, leases.room) == (0, 0, 2)
    assert leases.unexpired(11.0) == []
