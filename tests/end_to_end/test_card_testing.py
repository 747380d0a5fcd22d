"""Who tries out cards is stopped, over JSON and on each database."""

import pytest

from tests.end_to_end.running import JsonClient, Stack, user_with_card

DECLINES = 100
DECLINED = "pm_card_chargeCustomerFail"


@pytest.fixture
def transport() -> str:
    """How the adapter calls the core: once is enough."""
    return "stream"


async def test_100_declines_in_a_row_are_throttled(stack: Stack, merchant: JsonClient) -> None:
    user_id = await user_with_card(merchant, DECLINED)
    first = {"user_id": user_id, "amount": 5, "idempotency_key": "order-1"}
    declined = await merchant.call("charge_customer", **first)
    assert declined.status == 402
    answers = [
        await merchant.call("charge_customer", user_id=user_id, amount=5)
        for _ in range(DECLINES - 1)
    ]
    assert [answer.status for answer in answers] == [402] * 14 + [429] * (DECLINES - 15)
    last = answers[-1]
    assert last.body["code"] == "TOO_MANY_CARD_ATTEMPTS"
    assert 3000 < int(last.headers["Retry-After"]) <= 3600
    listed = await merchant.call("get_payment_records", limit=50)
    assert listed.body["total"] == 15
    replayed = await merchant.call("charge_customer", **first)
    assert (replayed.status, replayed.text) == (402, declined.text)
    # Another user of the business is charged.
    other_id = await user_with_card(merchant)
    assert (await merchant.call("charge_customer", user_id=other_id, amount=5)).status == 200
