"""Completes replayed responses that were stored before the resource messages (answer schema 1).

Those responses hold only ids where a response holds complete resources now. What they lack is read
from the rows, as it is today; what they hold stays.
"""

from collections.abc import Mapping
from typing import Final

from core.cards import store as cards_store
from core.database.transactions import Transaction
from core.idempotency.pipeline import Completion
from core.messages import timestamp
from core.users import store as users_store
from core.users.messages import user_message
from core.wallet import store as wallet_store
from core.wallet.messages import wallet_message
from nivisco.payments.v1 import cards_pb2, payments_pb2, users_pb2


async def complete_create_user(
    transaction: Transaction, business_id: str, response: users_pb2.CreateUserResponse
) -> None:
    """Add the user and the wallet to the stored ids."""
    user = await users_store.user_by_id(
        transaction, business_id=business_id, user_id=response.user.user_id
    )
    wallet = await wallet_store.wallet_by_id(
        transaction, business_id=business_id, wallet_id=response.wallet.wallet_id
    )
    assert user is not None, "users are never deleted"
    assert wallet is not None, "wallets are never deleted"
    response.user.CopyFrom(user_message(user))
    response.wallet.CopyFrom(wallet_message(wallet))


async def complete_fund_customer(
    transaction: Transaction, business_id: str, response: payments_pb2.FundCustomerResponse
) -> None:
    """Add the wallet to the stored id and balance."""
    wallet = await wallet_store.wallet_by_id(
        transaction, business_id=business_id, wallet_id=response.wallet.wallet_id
    )
    assert wallet is not None, "wallets are never deleted"
    complete = wallet_message(wallet)
    complete.balance.CopyFrom(response.wallet.balance)
    response.wallet.CopyFrom(complete)


async def complete_create_stripe_customer(
    transaction: Transaction, business_id: str, response: cards_pb2.CreateStripeCustomerResponse
) -> None:
    """Add the user and the time to the stored card."""
    card = await cards_store.card_by_id(
        transaction, business_id=business_id, card_id=response.card.card_id
    )
    assert card is not None, "cards are never deleted"
    response.card.user_id = card.user_id
    response.card.created_at.CopyFrom(timestamp(card.created_at))


COMPLETIONS: Final[Mapping[str, Completion]] = {
    "CreateUser": complete_create_user,
    "FundCustomer": complete_fund_customer,
    "CreateStripeCustomer": complete_create_stripe_customer,
}
"""By the action's method. Other responses of schema 1 lack nullable fields only."""
