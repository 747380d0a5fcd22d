"""Which addresses with wrong credentials are limited, and until when."""

import asyncio
import logging

import pytest

from rpc import credential_failures
from rpc.credential_failures import LIMITED_AT_ONCE, LIMITED_MAX, CredentialFailures, network_of

PER_MINUTE = 6
ADDRESS = "192.0.2.1"
SHOP = (ADDRESS, "shop", "key")
OTHER = (ADDRESS, "other", "key")


class Failures(CredentialFailures):
    """Failures with a clock, in seconds."""

    def __init__(self, per_minute: int = PER_MINUTE) -> None:
        self.time = 1000.0
        super().__init__(per_minute, lambda: self.time)

    def fail(self, times: int, address: str = ADDRESS) -> None:
        for number in range(times):
            self.add_failed(address, "shop", f"wrong-{number}")

    async def seconds_to_wait(self, address: str, business_id: str, api_key: str) -> int:
        """Return after how many seconds a request may come again, 0 if it may be served."""
        if not self.is_limited(address, business_id, api_key):
            return 0
        async with self.turn(address, business_id) as wait:
            return wait


async def test_an_address_is_limited_after_its_failures_until_one_comes_back() -> None:
    failures = Failures()
    failures.fail(PER_MINUTE - 1)
    assert await failures.seconds_to_wait(*SHOP) == 0
    failures.fail(1)
    assert await failures.seconds_to_wait(*SHOP) == 10
    assert await failures.seconds_to_wait("192.0.2.2", "shop", "key") == 0
    failures.time += 9.5
    assert await failures.seconds_to_wait(*SHOP) == 1
    failures.time += 0.5
    assert await failures.seconds_to_wait(*SHOP) == 0


async def test_who_goes_on_stays_limited() -> None:
    failures = Failures()
    for _ in range(100):
        failures.fail(PER_MINUTE)
        failures.time += 9
        assert await failures.seconds_to_wait(*SHOP) == 1


@pytest.mark.parametrize("valid_first", [True, False])
async def test_valid_credentials_are_not_limited_by_others_there(*, valid_first: bool) -> None:
    failures = Failures()
    if valid_first:
        failures.add_valid(*SHOP)
    failures.fail(1000)
    if not valid_first:
        failures.add_valid(*SHOP)
    assert await failures.seconds_to_wait(*SHOP) == 0
    assert await failures.seconds_to_wait(ADDRESS, "shop", "another key") > 0


async def test_a_business_that_is_new_at_a_limited_address_is_served() -> None:
    failures = Failures()
    failures.fail(1000)
    assert await failures.seconds_to_wait(*SHOP) > 0
    for number in range(PER_MINUTE):
        assert failures.is_limited(*OTHER)
        assert await failures.seconds_to_wait(*OTHER) == 0
        failures.add_failed(ADDRESS, "other", f"wrong-{number}")
    assert await failures.seconds_to_wait(*OTHER) > 0


async def test_a_flood_that_names_new_businesses_takes_turns() -> None:
    failures = Failures()
    failures.fail(PER_MINUTE)
    waits: list[int] = []
    ended = asyncio.Event()

    async def serve(number: int) -> None:
        async with failures.turn(ADDRESS, f"business-{number}") as wait:
            waits.append(wait)
            if not wait:
                await ended.wait()

    async with asyncio.TaskGroup() as group:
        for number in range(LIMITED_MAX + 2):
            group.create_task(serve(number))
        while len(waits) < LIMITED_AT_ONCE + 2:
            await asyncio.sleep(0)
        assert sorted(waits) == [0] * LIMITED_AT_ONCE + [1, 1]
        ended.set()
    assert waits.count(0) == LIMITED_MAX
    assert await failures.seconds_to_wait(*OTHER) == 0


async def test_credentials_that_are_wrong_now_are_limited() -> None:
    failures = Failures()
    failures.add_valid(*SHOP)
    failures.fail(PER_MINUTE)
    failures.add_failed(*SHOP)
    assert await failures.seconds_to_wait(*SHOP) > 0


async def test_a_limit_of_0_is_off() -> None:
    failures = Failures(0)
    failures.fail(1000)
    assert await failures.seconds_to_wait(*SHOP) == 0


def test_a_limited_number_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential_failures, "KEPT_MAX", 10)
    failures = Failures()
    for number in range(1000):
        failures.fail(1, f"address-{number}")
        failures.add_valid(f"address-{number}", "shop", "key")
    kept = failures._failures, failures._of_businesses, failures._valid
    assert [len(each) for each in kept] == [10] * 3


def test_a_limited_address_is_logged_once_in_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures()
    with caplog.at_level(logging.WARNING, "rpc"):
        for _ in range(130):
            failures.fail(10)
            failures.time += 1
    lines = [vars(record) for record in caplog.records if record.name == "rpc"]
    assert [(line["message"], line["address"]) for line in lines] == [
        ("address with wrong credentials limited", ADDRESS)
    ] * 3


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1:4711"),  # no address: what a proxy wrote
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_is_counted_by_its_network(address: str | None, network: str) -> None:
    assert network_of(address) == network
