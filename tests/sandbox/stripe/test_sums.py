"""Random refunds and disputes: sums stay consistent, and the last events tell the same."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.books import Books, Change, PageQuery, Record, Scope
from sandbox.control.stripe import summarize_account
from sandbox.stripe import disputes, refunds, resources
from sandbox.stripe.api import API_VERSION
from sandbox.stripe.calls import Call
from sandbox.stripe.cards import SCENARIOS, find_card_by_payment_method
from sandbox.stripe.errors import StripeError
from sandbox.stripe.events import build_events

AMOUNT = 2500
SCOPE = Scope("acct_shop", livemode=True)
EFFECTIVE = ("requires_action", "pending", "succeeded")

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["refund", "dispute", "move"]),
        st.integers(1, AMOUNT),
        st.integers(0, 2**16),
    ),
    max_size=25,
)


def paid_charge(call: Call) -> Record:
    card = find_card_by_payment_method("pm_card_visa")
    assert card is not None
    method = resources.build_payment_method(
        card,
        SCENARIOS["succeeds"],
        {},
        expiry=(2060, 1),
        cvc_given=False,
        livemode=True,
        created=0,
    )
    intent = resources.build_payment_intent(
        {"amount": AMOUNT, "currency": "usd"}, livemode=True, created=0
    )
    return call.add(Record("charge", resources.build_charge(intent, method, None, created=0)))


def take_step(call: Call, charge_id: str, kind: str, amount: int, choice: int) -> None:
    """Refund, dispute, or move one of the refunds and disputes to a status that may follow."""
    charge = call.require("charge", charge_id, param="charge")
    if kind == "refund":
        status = refunds.NEW_STATUSES[choice % 3]
        refunds.add_refund(call, charge, amount=amount, status=status, metadata={})
    elif kind == "dispute":
        disputes.add_dispute(
            call,
            charge,
            status=disputes.NEW_STATUSES[choice % 2],
            amount=amount,
            currency="usd" if choice % 3 else "jpy",
            reason="general",
            metadata={},
        )
    else:
        made = [
            each
            for name in ("refund", "dispute")
            for each in call.books.list_page(call.scope, name, PageQuery(limit=100))[0]
        ]
        if not made:
            return
        moved = made[choice % len(made)]
        moves = refunds.MOVES if moved.kind == "refund" else disputes.MOVES
        following = moves[moved.body["status"]]
        if following:
            move = refunds.move_refund if moved.kind == "refund" else disputes.move_dispute
            move(call, moved, following[amount % len(following)])


@settings(deadline=None)
@given(STEPS)
def test_sums_and_last_events_agree_with_the_objects(steps: list[tuple[str, int, int]]) -> None:
    books, changes = Books(None), list[Change]()
    books.on_commit = changes.extend
    call = Call(books, SCOPE, "POST", "/", (), {}, 1, API_VERSION)
    with books.transaction():
        charge_id = paid_charge(call).id
    for step in steps:
        before = json.dumps(summarize_account(books, SCOPE, 100))
        try:
            with books.transaction():
                take_step(call, charge_id, *step)
        except StripeError:  # nothing is left to refund, or a dispute has the money
            assert json.dumps(summarize_account(books, SCOPE, 100)) == before
    shown = summarize_account(books, SCOPE, 100)
    [charge] = shown["charges"]
    refunded = sum(each["amount"] for each in shown["refunds"] if each["status"] in EFFECTIVE)
    withdrawn = sum(disputes.count_withdrawn(each) for each in shown["disputes"])
    assert charge["amount_refunded"] == refunded
    assert charge["refunded"] == (refunded == AMOUNT)
    assert shown["taken"]["usd"] == AMOUNT - refunded - withdrawn >= 0
    assert all(disputes.count_withdrawn(each) >= 0 for each in shown["disputes"])
    last: dict[str, Any] = {}
    for change in changes:
        for event in build_events(change, 1):
            last[event["data"]["object"]["id"]] = event["data"]["object"]
    for each in (*shown["refunds"], *shown["disputes"]):
        assert last[each["id"]] == each
    books.close()
