"""Many concurrent clients, some of which disconnect."""

import asyncio

from tests.end_to_end.running import JsonClient, Response, new_user, user_with_money


async def test_of_200_concurrent_debits_exactly_the_funded_ones_succeed(
    merchant: JsonClient,
) -> None:
    user_id = await user_with_money(merchant, 120)
    responses: list[Response] = await asyncio.gather(
        *(merchant.call("charge_wallet", user_id=user_id, amount=1) for _ in range(200))
    )
    assert sorted(response.status for response in responses) == [200] * 120 + [402] * 80
    wallet = (await merchant.call("get_user_wallet", user_id=user_id)).body["wallet"]
    history = (await merchant.call("get_wallet_history", user_id=user_id)).body
    assert (wallet["balance"], history["total"]) == (0, 121)


async def test_100_disconnecting_clients_do_not_affect_others(merchant: JsonClient) -> None:
    user_id = await new_user(merchant)

    async def hang_up(number: int) -> None:
        action = "add_wallet_funds" if number % 2 else "get_user_wallet"
        payload = {"amount": 1} if number % 2 else {}
        call = asyncio.ensure_future(merchant.call(action, user_id=user_id, **payload))
        await asyncio.wait([call], timeout=number / 2000)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    async with asyncio.timeout(60):
        leaving = [hang_up(number) for number in range(100)]
        staying = [merchant.call("get_user_wallet", user_id=user_id) for _ in range(30)]
        results = await asyncio.gather(*leaving, *staying)
    assert {response.status for response in results if response is not None} == {200}
    async with asyncio.timeout(60):
        while True:  # the work of clients that left continues
            wallet = (await merchant.call("get_user_wallet", user_id=user_id)).body["wallet"]
            history = (await merchant.call("get_wallet_history", user_id=user_id)).body
            if wallet["balance"] == history["total"]:
                break
