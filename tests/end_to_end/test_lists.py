"""Lists over JSON: periods and what their entries show."""

import pytest

from tests.end_to_end.running import JsonClient, user_with_money


@pytest.mark.parametrize("list_action", ["get_wallet_history", "get_all_users"])
async def test_a_period_that_ends_with_a_shown_time_includes_the_entry(
    merchant: JsonClient, list_action: str
) -> None:
    user_id = await user_with_money(merchant)
    fields = {"user_id": user_id} if list_action == "get_wallet_history" else {}
    key = {"get_wallet_history": "transactions", "get_all_users": "users"}[list_action]
    [entry] = (await merchant.call(list_action, **fields)).body[key]
    shown = entry["created_at"]
    listed = await merchant.call(list_action, **fields, from_date=shown, to_date=shown)
    assert listed.body[key] == [entry]
