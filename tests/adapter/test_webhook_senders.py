"""Which senders of webhooks are limited."""

from collections.abc import Callable

import pytest

from adapter import webhook_senders
from adapter.webhook_senders import Sender, WebhookSenders, sender_of

PER_MINUTE = 6
ADDRESS = "192.0.2.1"
SENDER = Sender(ADDRESS, "a", "stripe")
SAME_ADDRESS = Sender(ADDRESS, "b", "stripe")


class Senders(WebhookSenders):
    """Senders with a clock, in seconds."""

    def __init__(self) -> None:
        self.time = 1000.0
        super().__init__(PER_MINUTE, lambda: self.time)

    def fail(self, sender: Sender = SENDER, times: int = 1) -> None:
        for _ in range(times):
            self.add_failed(sender)


def test_an_address_is_limited_after_its_failures_of_a_minute() -> None:
    senders = Senders()
    senders.fail(times=PER_MINUTE - 1)
    assert not senders.is_limited(SENDER)
    senders.fail()
    assert senders.is_limited(SENDER)
    assert senders.is_limited(SAME_ADDRESS)
    assert not senders.is_limited(SENDER._replace(address="192.0.2.2"))


@pytest.mark.parametrize(
    ("failures", "passed_seconds", "limited"),
    [
        (PER_MINUTE, 9, True),
        (PER_MINUTE, 10, False),  # one of six comes back in ten seconds
        (PER_MINUTE * 100, 10, False),
        (PER_MINUTE * 100, 9, True),
    ],
)
def test_failures_come_back_with_time(failures: int, passed_seconds: float, limited: bool) -> None:
    senders = Senders()
    senders.fail(times=failures)
    senders.time += passed_seconds
    assert senders.is_limited(SENDER) is limited
    senders.time += 3600
    senders.fail(times=PER_MINUTE - 1)
    assert not senders.is_limited(SENDER)


def test_valid_signatures_take_back_no_failure() -> None:
    senders = Senders()
    senders.fail(times=PER_MINUTE)
    for _ in range(100):
        senders.add_valid(SENDER)
    assert senders.is_limited(SAME_ADDRESS)


@pytest.mark.parametrize("prove_first", [True, False])
def test_who_sent_valid_signatures_is_not_limited_by_others_at_the_address(
    prove_first: bool,
) -> None:
    """Behind a proxy, the gateway and a forger have one address."""
    senders = Senders()
    steps: list[Callable[[], None]] = [
        lambda: senders.add_valid(SENDER),
        lambda: senders.fail(SAME_ADDRESS, 1000),
    ]
    for step in steps if prove_first else reversed(steps):
        step()
    assert not senders.is_limited(SENDER)
    assert senders.is_limited(SENDER._replace(gateway="authorize"))
    senders.fail(SENDER, PER_MINUTE)
    assert senders.is_limited(SENDER)


def test_a_few_senders_are_kept_the_last_used_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_senders, "KEPT_MAX", 10)
    senders = Senders()
    senders.fail(times=PER_MINUTE)
    for number in range(1000):
        senders.fail(SENDER._replace(address=f"address-{number}"))
        senders.add_valid(SENDER._replace(business_id=f"business-{number}"))
        senders.fail()
    assert len(senders._addresses) == len(senders._proven) == 10
    assert senders.is_limited(SENDER)


def test_a_limited_address_is_logged_once_in_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    senders = Senders()
    for _ in range(130):
        senders.fail(times=10)
        senders.time += 1
    lines = [vars(record) for record in caplog.records]
    assert [(line["message"], line["address"]) for line in lines] == [
        ("webhook sender limited", ADDRESS)
    ] * 3


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        (None, ""),
    ],
)
def test_an_address_tells_senders_apart(peer: str | None, address: str) -> None:
    assert sender_of(peer, "a", "stripe") == Sender(address, "a", "stripe")
