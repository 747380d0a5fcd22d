"""Disputes: read at the API, opened and moved at the control endpoint."""

import itertools
from typing import Any

import pytest
import stripe
from stripe.params import DisputeListParams

from sandbox.stripe.disputes import MOVES
from tests.sandbox.receiving import receiving, shown
from tests.sandbox.running import Sandbox, assert_fields, charge_card

CREATED = "charge.dispute.created"
UPDATED = "charge.dispute.updated"
CLOSED = "charge.dispute.closed"
WITHDRAWN = "charge.dispute.funds_withdrawn"
REINSTATED = "charge.dispute.funds_reinstated"

STORIES: list[tuple[str, list[str], int]] = [
    # The statuses after the first, the events, and what is left of 2500.
    ("warning_needs_response", [CREATED], 2500),
    ("warning_needs_response warning_closed", [CREATED, CLOSED], 2500),
    (
        "warning_needs_response warning_under_review warning_closed",
        [CREATED, UPDATED, CLOSED],
        2500,
    ),
    (
        "warning_needs_response warning_under_review needs_response",
        [CREATED, UPDATED, UPDATED, WITHDRAWN],
        0,
    ),
    (
        "warning_needs_response needs_response under_review lost",
        [CREATED, UPDATED, WITHDRAWN, UPDATED, CLOSED],
        0,
    ),
    ("needs_response", [CREATED, WITHDRAWN], 0),
    ("needs_response won", [CREATED, WITHDRAWN, CLOSED, REINSTATED], 2500),
    (
        "needs_response under_review won lost won",
        [CREATED, WITHDRAWN, UPDATED, CLOSED, REINSTATED, CLOSED, WITHDRAWN, CLOSED, REINSTATED],
        2500,
    ),
    (
        "needs_response lost appeal_needs_response lost",
        [CREATED, WITHDRAWN, CLOSED, UPDATED, CLOSED],
        0,
    ),
    (
        "needs_response lost appeal_needs_response won",
        [CREATED, WITHDRAWN, CLOSED, UPDATED, CLOSED, REINSTATED],
        2500,
    ),
    *(
        (
            f"needs_response lost appeal_needs_response appeal_under_review {end}",
            [CREATED, WITHDRAWN, CLOSED, UPDATED, UPDATED, CLOSED, *more],
            left,
        )
        for end, more, left in (("won", [REINSTATED], 2500), ("lost", [], 0))
    ),
]


async def order(sandbox: Sandbox, path: str = "", **body: Any) -> Any:
    """Open or move a dispute at the control endpoint."""
    status, answer = await sandbox.control("POST", f"stripe/disputes{path}", body)
    assert status < 300, answer
    return answer


async def test_the_sdk_reads_disputes(sandbox: Sandbox) -> None:
    intent, service = await charge_card(sandbox), sandbox.stripe().v1.disputes
    made = await order(
        sandbox, payment_intent=intent["id"], reason="fraudulent", metadata={"a": "b"}
    )
    read = (await service.retrieve_async(made["id"])).to_dict()
    assert read == made
    assert_fields(
        read, stripe.Dispute, absent={"intended_submission_method", "network_reason_code"}
    )
    assert (read["amount"], read["reason"], read["metadata"]) == (2500, "fraudulent", {"a": "b"})
    assert (read["payment_intent"], read["charge"]) == (intent["id"], intent["latest_charge"])
    of_both: list[DisputeListParams] = [
        {"charge": intent["latest_charge"]},
        {"payment_intent": intent["id"]},
    ]
    for params in of_both:
        assert [each.id for each in (await service.list_async(params)).data] == [made["id"]]
    assert (await service.list_async({"charge": "ch_other"})).data == []
    status, _ = await sandbox.call("GET", "/v1/disputes/du_none")
    assert status == 404


@pytest.mark.parametrize(("story", "events", "left"), STORIES)
async def test_funds_and_events_follow_each_status(
    sandbox: Sandbox, story: str, events: list[str], left: int
) -> None:
    statuses = story.split()
    intent = await charge_card(sandbox)
    async with receiving(sandbox) as receiver:
        await sandbox.control("POST", "webhooks/hold", {})
        dispute = await order(sandbox, payment_intent=intent["id"], status=statuses[0])
        for status in statuses[1:]:
            dispute = await order(sandbox, f"/{dispute['id']}", status=status)
        await sandbox.control("POST", "webhooks/hold", {"hold": False})
        await shown(sandbox)
    assert receiver.types == events
    books = await sandbox.books()
    assert books["taken"] == {"usd": left}
    assert books["disputes"] == [dispute]
    assert books["charges"][0]["disputed"]
    assert receiver.events[-1]["data"]["object"] == dispute
    moved = sum(each["amount"] for each in dispute["balance_transactions"])
    assert moved == left - 2500


def test_every_move_has_a_story() -> None:
    moves = {(status, following) for status, each in MOVES.items() for following in each}
    told = {pair for story, _, _ in STORIES for pair in itertools.pairwise(story.split())}
    assert told == moves


async def test_a_dispute_in_another_currency_takes_the_charges_own_money(sandbox: Sandbox) -> None:
    intent = await charge_card(sandbox)
    await sandbox.control("POST", "stripe/refunds", {"payment_intent": intent["id"], "amount": 500})
    dispute = await order(sandbox, payment_intent=intent["id"], amount=999_999, currency="jpy")
    assert (dispute["amount"], dispute["currency"]) == (999_999, "jpy")
    [withdrawal] = dispute["balance_transactions"]
    assert (withdrawal["amount"], withdrawal["currency"]) == (-2000, "usd")
    assert (await sandbox.books())["taken"] == {"usd": 0}


async def test_a_charge_cannot_be_refunded_while_a_dispute_has_its_money(sandbox: Sandbox) -> None:
    intent, service = await charge_card(sandbox), sandbox.stripe().v1.refunds
    dispute = await order(sandbox, payment_intent=intent["id"], amount=1500)
    named: Any = {"payment_intent": intent["id"]}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await service.create_async(named)
    assert refused.value.code == "charge_disputed"
    assert (await sandbox.books())["taken"] == {"usd": 1000}
    await order(sandbox, f"/{dispute['id']}", status="won")
    assert (await service.create_async(named)).amount == 2500


async def test_an_inquiry_on_a_charge_that_is_refunded_takes_nothing(sandbox: Sandbox) -> None:
    intent = await charge_card(sandbox)
    inquiry = await order(sandbox, payment_intent=intent["id"], status="warning_needs_response")
    assert inquiry["is_charge_refundable"]
    await sandbox.stripe().v1.refunds.create_async({"payment_intent": intent["id"]})
    async with receiving(sandbox) as receiver:
        escalated = await order(sandbox, f"/{inquiry['id']}", status="needs_response")
        won = await order(sandbox, f"/{inquiry['id']}", status="won")
        await shown(sandbox)
    assert escalated["balance_transactions"] == won["balance_transactions"] == []
    assert sorted(receiver.types) == sorted([UPDATED, CLOSED])


async def test_a_second_dispute_follows_one_that_ended_well(sandbox: Sandbox) -> None:
    intent = await charge_card(sandbox)
    named = {"payment_intent": intent["id"]}
    first = await order(sandbox, **named, status="warning_needs_response")
    status, body = await sandbox.control("POST", "stripe/disputes", named)
    assert status == 400
    assert f"/_sandbox/stripe/disputes/{first['id']} instead" in body["error"]
    await order(sandbox, f"/{first['id']}", status="warning_closed")
    second = await order(sandbox, **named)
    await order(sandbox, f"/{second['id']}", status="won")
    third = await order(sandbox, **named)
    assert len({first["id"], second["id"], third["id"]}) == 3
    await order(sandbox, f"/{second['id']}", status="lost")  # nothing is left to take
    assert (await sandbox.books())["taken"] == {"usd": 0}


@pytest.mark.parametrize(
    ("path", "body", "part"),
    [
        ("", {}, '"payment_intent"'),
        ("", {"payment_intent": "pi_none"}, "no payment intent"),
        ("", {"payment_intent": "PI", "status": "won"}, '"status" as one of needs_response'),
        ("", {"payment_intent": "PI", "amount": 0}, '"amount"'),
        ("", {"payment_intent": "PI", "currency": "xyz"}, '"currency"'),
        ("", {"payment_intent": "PI", "reason": "whim"}, '"reason"'),
        ("", {"payment_intent": "REFUNDED"}, "is refunded"),
        ("/du_none", {"status": "won"}, "no dispute du_none"),
        ("/DU", {}, '"status" as one of under_review, won, lost: the dispute is needs_response'),
        ("/DU", {"status": "warning_closed"}, '"status" as one of under_review, won, lost'),
        ("/CLOSED", {"status": "won"}, "is warning_closed, which is final"),
    ],
)
async def test_a_refusal_says_what_to_send(
    sandbox: Sandbox, path: str, body: dict[str, Any], part: str
) -> None:
    names = {}
    for name in ("PI", "REFUNDED", "DU", "CLOSED"):
        names[name] = (await charge_card(sandbox))["id"]
    await sandbox.control("POST", "stripe/refunds", {"payment_intent": names["REFUNDED"]})
    names["DU"] = (await order(sandbox, payment_intent=names["DU"]))["id"]
    inquiry = {"payment_intent": names["CLOSED"], "status": "warning_needs_response"}
    names["CLOSED"] = (await order(sandbox, **inquiry))["id"]
    await order(sandbox, f"/{names['CLOSED']}", status="warning_closed")
    path = "/" + names.get(path[1:], path[1:]) if path else path
    if "payment_intent" in body:
        body = body | {"payment_intent": names.get(body["payment_intent"], body["payment_intent"])}
    status, answer = await sandbox.control("POST", f"stripe/disputes{path}", body)
    assert status == 400
    assert part in answer["error"]
