"""Stops as stored: who, when and why, and for whom they are. On each database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from core.business import stop_store
from core.business.known_callers import KnownCallers
from core.business.service import BusinessService
from core.business.stop_store import Scope
from core.business.stopping import Stopping
from core.database.schema import audit_pending
from core.database.transactions import Database
from core.errors import InvalidFields
from core.stops import Stops
from tests.core.running import ShiftedClock, SkippingClock

ALL = Scope("*", "*", "everything")


class Operating:
    """A database with one business, and what operators do."""

    def __init__(self, database: Database, clock: ShiftedClock) -> None:
        known = KnownCallers(database, SkippingClock())
        self.database, self.clock, self.known = database, clock, known
        self.stopping = Stopping(database, known)
        self.business = BusinessService(database, known)

    async def stops_of(self, business_id: str) -> Stops:
        async with self.database.read() as transaction:
            return Stops.of(
                await transaction.connection.scalar(
                    select(stop_store.stops_of_business()), {"business_id": business_id}
                )
            )


@pytest.fixture
async def operating(database_url: str) -> AsyncIterator[Operating]:
    clock = ShiftedClock()
    database = Database(database_url, clock)
    yield Operating(database, clock)
    await database.close()


async def test_a_stop_is_of_its_business_and_gateway_until_it_ends(operating: Operating) -> None:
    one, _ = await operating.business.register(
        name="N", email="a@shop.example", domain="shop.example"
    )
    own = Scope(one.business_id, "stripe", "charges")
    everywhere = Scope("*", "authorize", "recurring")
    assert await operating.stops_of(one.business_id) == Stops()
    for scope in (own, everywhere):
        await operating.stopping.stop(scope, by="ops", reason="r")
    assert (await operating.stops_of(one.business_id)).words == {
        "charges:stripe",
        "recurring:authorize",
    }
    assert (await operating.stops_of("other")).words == {"recurring:authorize"}
    ended, others = await operating.stopping.start(everywhere, by="eve", reason="over")
    assert (ended.ended_by, ended.ended_reason, ended.reason) == ("eve", "over", "r")
    assert [each.what for each in others] == ["charges"]
    assert [each.what for each in await operating.stopping.in_force()] == ["charges"]
    assert await operating.stops_of("other") == Stops()


async def test_repeating_a_stop_keeps_its_time_and_a_new_one_has_its_own(
    operating: Operating,
) -> None:
    first = await operating.stopping.stop(ALL, by="ops", reason="first")
    operating.clock.ahead = timedelta(minutes=1)
    again = await operating.stopping.stop(ALL, by="eve", reason="second")
    assert (again.stopped_at, again.stopped_by) == (first.stopped_at, "eve")
    await operating.stopping.start(ALL, by="ops", reason="over")
    new = await operating.stopping.stop(ALL, by="ops", reason="third")
    assert new.stopped_at > first.stopped_at
    assert (new.ended_at, new.ended_by, new.ended_reason) == (None, None, None)


async def test_operators_who_stop_the_same_at_once_stop_it_once(operating: Operating) -> None:
    await asyncio.gather(
        *(operating.stopping.stop(ALL, by=f"ops{n}", reason="r") for n in range(8))
    )
    assert len(await operating.stopping.in_force()) == 1


@pytest.mark.parametrize(
    ("scope", "verb", "field"),
    [
        (Scope("nobody", "*", "charges"), "stop", "business_id"),
        (ALL, "start", "what"),
        (Scope("*", "stripe", "everything"), "start", "what"),
    ],
)
async def test_what_does_not_exist_is_neither_stopped_nor_started(
    operating: Operating, scope: Scope, verb: str, field: str
) -> None:
    if scope.gateway == "stripe":
        await operating.stopping.stop(ALL, by="ops", reason="r")
    with pytest.raises(InvalidFields) as refused:
        await getattr(operating.stopping, verb)(scope, by="ops", reason="r")
    assert [each.field for each in refused.value.problems] == [field]


async def test_a_stop_drops_the_callers_of_whom_it_is(operating: Operating) -> None:
    keys = [
        (await operating.business.register(name="N", email="a@b.example", domain="b.example"))[1]
        for _ in range(2)
    ]

    async def stopped() -> list[bool]:
        found = [await operating.known.find(each.business_id, each.api_key) for each in keys]
        return [each is not None and each.stops.refuse_movement for each in found]

    assert await stopped() == [False, False]
    own = Scope(keys[0].business_id, "*", "everything")
    await operating.stopping.stop(own, by="ops", reason="r")
    assert await stopped() == [True, False]
    await operating.stopping.stop(ALL, by="ops", reason="r")
    assert await stopped() == [True, True]
    for scope in (own, ALL):
        await operating.stopping.start(scope, by="ops", reason="r")
    assert await stopped() == [False, False]


async def test_a_stop_and_its_end_are_recorded_with_their_gateway(database_url: str) -> None:
    database = Database(database_url, digest=lambda _, content: content.decode()[:64])
    try:
        operating = Operating(database, ShiftedClock())
        for scope in (ALL, Scope("*", "stripe", "charges")):
            await operating.stopping.stop(scope, by="ops", reason="r")
            await operating.stopping.start(scope, by="ops", reason="r")
        of = audit_pending.c
        async with database.read() as transaction:
            found = await transaction.connection.execute(
                select(of.business_id, of.transition, of.subject_id, of.after_hash)
                .where(of.subject == "stops")
                .order_by(of.event_id)
            )
            rows = found.all()
        assert [tuple(each[:3]) for each in rows] == [
            ("*", "operator.stop", "everything"),
            ("*", "operator.start", "everything"),
            ("*", "operator.stop", "charges"),
            ("*", "operator.start", "charges"),
        ]
        assert [("'*'" in each[3], "'stripe'" in each[3]) for each in rows] == [
            (True, False),
            (True, False),
            (True, True),
            (False, True),
        ]
    finally:
        await database.close()
