"""Signatures of webhooks: what each outcome is, and how many transactions it opens."""

import asyncio
import hmac
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from core.business.known_callers import KnownCallers
from core.credentials.service import CredentialsService
from core.credentials.webhook_secrets import LIFETIME, RECHECK_AFTER
from core.errors import InvalidFields, Reason, Refusal
from core.gateways.events import TOLERANCE, Event
from core.gateways.stripe import events as stripe_events
from core.payments.transitions import Transitions
from core.webhooks.service import WebhooksService
from tests.core.webhooks.intake import BODY, FORGED, LIVE_BODY, Intake, running_intake
from tests.end_to_end.signing import (
    STRIPE_SECRET,
    authorize_signature,
    stripe_signature,
)

SECOND = timedelta(seconds=1)


@pytest.fixture
async def intake(database_url: str) -> AsyncIterator[Intake]:
    async with running_intake(database_url) as intake:
        yield intake


async def test_forged_webhooks_are_rejected_without_a_transaction(intake: Intake) -> None:
    await intake.deliver()
    before = intake.database.opened
    await asyncio.gather(*(intake.forge() for _ in range(500)))
    assert intake.database.opened == before
    for _ in range(4 * int(RECHECK_AFTER / SECOND)):
        intake.clock.ahead += SECOND
        for _ in range(20):
            await intake.forge()
    assert intake.database.opened - before <= 4


async def test_a_signed_webhook_opens_only_the_transaction_that_stores_it(intake: Intake) -> None:
    await intake.deliver()
    before = intake.database.opened
    for _ in range(10):
        await intake.deliver()
    assert intake.database.opened - before == 10


async def test_webhooks_of_made_up_businesses_share_their_transactions(intake: Intake) -> None:
    await intake.deliver()
    before = intake.database.opened
    await asyncio.gather(*(intake.forge(f"made-up-{number}") for number in range(1000)))
    await asyncio.gather(*(intake.forge(f"made-up-{number}") for number in range(1000)))
    assert intake.database.opened - before == 4
    await intake.deliver()
    assert intake.database.opened - before == 5


async def test_a_forged_body_is_not_parsed(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_arguments: object) -> None:
        raise AssertionError("it parses what nobody signed")

    monkeypatch.setattr(stripe_events, "read", parse)
    with pytest.raises(InvalidFields):
        await intake.receive(b"[" * 1_000_000, FORGED)


async def test_a_secret_that_another_core_stores_is_accepted_within_seconds(
    intake: Intake,
) -> None:
    known_callers = KnownCallers(intake.database)
    other_core = CredentialsService(intake.database, intake.ring, known_callers)
    await intake.forge()
    await other_core.modify(intake.caller, "stripe", "TEST", {"stripe_webhook_secret": "whsec_new"})
    assert await intake.outcome(secret="whsec_new") == "INVALID_FIELDS"
    intake.clock.ahead += RECHECK_AFTER + SECOND
    assert await intake.outcome(secret="whsec_new") == "accepted"
    assert await intake.outcome() == "INVALID_FIELDS"


async def test_a_secret_that_another_core_replaces_is_rejected_within_its_lifetime(
    intake: Intake,
) -> None:
    known_callers = KnownCallers(intake.database)
    other_core = CredentialsService(intake.database, intake.ring, known_callers)
    await intake.deliver()
    await other_core.modify(intake.caller, "stripe", "TEST", {"stripe_webhook_secret": None})
    assert await intake.outcome() == "accepted"
    intake.clock.ahead += LIFETIME + SECOND
    assert await intake.outcome() == "INVALID_FIELDS"


async def test_a_change_in_this_core_counts_at_once(intake: Intake) -> None:
    await intake.deliver()
    assert await intake.outcome(LIVE_BODY, "whsec_live") == "INVALID_FIELDS"
    await intake.store("LIVE", "whsec_live")
    assert await intake.outcome(LIVE_BODY, "whsec_live") == "accepted"


TOLERATED = int(TOLERANCE.total_seconds())


async def test_a_signature_of_nearly_our_time_is_accepted(intake: Intake) -> None:
    for age_seconds in (TOLERATED, -TOLERATED):
        assert await intake.deliver(age_seconds=age_seconds) is (age_seconds < 0)


@pytest.mark.parametrize(
    ("age_seconds", "message"),
    [
        (TOLERATED + 1, "its time is 5 minutes before ours: check the clock of this server"),
        (-TOLERATED - 1, "its time is 5 minutes after ours: check the clock of this server"),
        (600, "its time is 10 minutes before ours"),
        (-600, "its time is 10 minutes after ours"),
        (10**9, "its time is 16666667 minutes before ours"),
    ],
)
async def test_a_right_signature_of_another_time_is_told_from_a_wrong_one(
    intake: Intake, caplog: pytest.LogCaptureFixture, age_seconds: int, message: str
) -> None:
    with pytest.raises(Refusal, match=f"The signature is right, but {message}") as skewed:
        await intake.deliver(age_seconds=age_seconds)
    assert skewed.value.reason == Reason.ERROR_REASON_INVALID_FIELDS
    assert skewed.value.metadata["skew_seconds"] == str(age_seconds)
    [line] = [vars(record) for record in caplog.records if record.levelname == "WARNING"]
    assert line["message"] == "webhook signed at another time than this server's"
    assert line["skew_seconds"] == age_seconds
    assert await intake.stored_events() == []


async def test_only_who_knows_the_secret_learns_of_a_skew(intake: Intake) -> None:
    errors = set()
    for secret, business_id in (("whsec_other", None), (STRIPE_SECRET, "unknown")):
        for age_seconds in (0, 600):
            signed_at = intake.clock.now().timestamp() - age_seconds
            with pytest.raises(InvalidFields) as refused:
                await intake.receive(BODY, stripe_signature(BODY, signed_at, secret), business_id)
            errors.add((str(refused.value), refused.value.problems))
    assert len(errors) == 1


async def test_a_secret_that_does_not_open_stops_no_event_of_the_other_environment(
    intake: Intake, caplog: pytest.LogCaptureFixture
) -> None:
    await intake.store("LIVE", "whsec_live")
    await intake.damage("LIVE")
    assert await intake.outcome() == "accepted"
    assert await intake.outcome(LIVE_BODY, "whsec_live") == "INVALID_FIELDS"
    intake.clock.ahead += LIFETIME + SECOND
    assert await intake.outcome() == "accepted"
    logged = [vars(record) for record in caplog.records if record.levelname == "ERROR"]
    assert [(line["message"], line["env"]) for line in logged] == [
        ("webhook secret does not open", "LIVE")
    ]


async def test_without_a_secret_that_opens_events_are_to_be_delivered_again(
    intake: Intake,
) -> None:
    await intake.damage("TEST")
    assert await intake.outcome() == "SERVICE_UNAVAILABLE"


async def test_an_event_of_the_environment_whose_secret_does_not_open_is_not_lost(
    intake: Intake,
) -> None:
    """Both environments have one secret, and it opens for the other one only."""
    await intake.store("LIVE", STRIPE_SECRET)
    await intake.damage("LIVE")
    assert await intake.outcome(LIVE_BODY) == "SERVICE_UNAVAILABLE"
    assert await intake.outcome(BODY) == "accepted"
    assert await intake.stored_events() == [("TEST", "evt_1")]


async def test_a_signed_body_that_is_no_event_is_acknowledged(
    intake: Intake, caplog: pytest.LogCaptureFixture
) -> None:
    for body in (b"", b"\xff\x00", b"{}", b"[]", b'{"id":1}', b"[" * 5000, b"9" * 5000, b"null"):
        caplog.clear()
        assert await intake.outcome(body) == "accepted"
        assert "signed webhook is not an event" in caplog.text
    assert await intake.stored_events() == []


def signatures(count: int, right_at: int, right: str) -> str:
    parts = right.split(",")
    return ",".join(
        [parts[0], *(parts[1] if each == right_at else "v1=0" for each in range(count))]
    )


async def test_of_a_thousand_signatures_in_a_header_the_first_sixteen_count(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = stripe_signature(BODY, intake.clock.now().timestamp())
    compared = 0
    compare_digest = hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        nonlocal compared
        compared += 1
        return compare_digest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    assert await intake.receive(BODY, signatures(1000, 15, right)) is False
    with pytest.raises(InvalidFields):
        await intake.receive(BODY, signatures(1000, 16, right))
    assert compared == 32


MALFORMED = (
    "",
    "t=,v1=",
    "t=1",
    "t=1,t=2,v1=0",
    f"t={'9' * 12},v1=0",
    f"t={'9' * 3000},v1=0",
    "t=" * 2048,
    "," * 4096,
    "v1=é,t=1",
    "t=\u0661,v1=0",  # a digit, but not of ASCII
    "t=1,v1=\ud800",
    "sha512=",
    "sha512=" + "0" * 4000,
    "sha512=\ud800",
    "SHA512",
)


async def test_a_malformed_signature_is_a_wrong_one(intake: Intake) -> None:
    await intake.store_signature_key()
    for gateway in ("stripe", "authorize"):
        for header in MALFORMED:
            with pytest.raises(InvalidFields):
                await intake.receive(BODY, header, gateway=gateway)


VALUES: tuple[object, ...] = (
    *(None, True, -1, 1 << 70, 1.5, float("nan"), "", "pi_1", "\ud800\x00", "x" * 3000, "usd"),
    *("2026-01-31T10:00:00Z", [], {"id": "ch_1", "payment_intent": "pi_1"}),
)
NAMES = (
    *("livemode", "created", "object", "status", "amount", "amount_received", "amount_refunded"),
    *("currency", "charge", "metadata", "payment_intent", "last_payment_error", "data", "payload"),
    *("id", "invoiceNumber", "authAmount", "responseCode", "merchantReferenceId", "eventDate"),
)
TYPES = (
    *(f"payment_intent.{each}" for each in ("succeeded", "canceled", "payment_failed")),
    *(f"charge.{each}" for each in ("refunded", "refund.updated", "dispute.closed", "updated")),
    *("refund.failed", "v2.core.event", "\ud800"),
    *(f"net.authorize.payment.{each}" for each in ("refund.created", "fraud.held", "x")),
)


class NoLookup:
    """A gateway that finds no payment."""

    async def complete_event(self, _account: object, event: Event) -> Event:
        """Return the event without a fact."""
        return replace(event, fact=None, needs_lookup=False)


async def test_no_signed_event_is_refused_whatever_it_says(intake: Intake) -> None:
    await intake.store_signature_key()
    lookup = cast(Any, NoLookup())
    webhooks = WebhooksService(
        intake.database,
        intake.credentials,
        Transitions(cast(Any, None), []),
        {"stripe": lookup, "authorize": lookup},
        cast(Any, None),
    )
    rng = random.Random(7)  # noqa: S311 - a repeatable mix

    def some_object() -> dict[str, object]:
        return {name: rng.choice(VALUES) for name in rng.sample(NAMES, 8)}

    for number in range(300):
        gateway = rng.choice(("stripe", "authorize"))
        event = some_object() | {"id": f"evt_{number}", "notificationId": f"n_{number}"}
        event |= {"type": rng.choice(TYPES), "eventType": rng.choice(TYPES)}
        event |= {"data": {"object": some_object()}, "payload": some_object()}
        body = json.dumps(event).encode()
        signature = (
            "sha512=" + authorize_signature(body)
            if gateway == "authorize"
            else stripe_signature(body, intake.clock.now().timestamp())
        )
        await webhooks.receive(
            business_id=intake.caller.business_id, gateway=gateway, body=body, signature=signature
        )
