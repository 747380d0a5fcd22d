"""A business cannot distinguish the ids of another business from unknown ids."""

from typing import Any

import pytest
from google.protobuf import message_factory
from google.type.money_pb2 import Money

from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import (
    audit_pb2,
    business_pb2,
    cards_pb2,
    payments_pb2,
    recurring_pb2,
    refunds_pb2,
    types_pb2,
    users_pb2,
    wallet_pb2,
)
from rpc.catalogue import service_methods
from rpc.client import CoreClient
from rpc.errors import CoreError
from tests.core.running import METHODS, Business, create_user, register, save_card, with_stripe

AMOUNT = Money(units=1)
PROFILE = cards_pb2.CreateAuthorizeCustomerRequest.PaymentProfile(
    card_number="4111111111111111", exp_month=12, exp_year=2030
)
REQUESTS: dict[str, Any] = {
    "ValidateUser": users_pb2.ValidateUserRequest(),
    "GetUserInfo": users_pb2.GetUserInfoRequest(),
    "SuspendUser": users_pb2.SuspendUserRequest(),
    "ReactivateUser": users_pb2.ReactivateUserRequest(),
    "UpdateUser": users_pb2.UpdateUserRequest(
        updates=users_pb2.UpdateUserRequest.Updates(name="x")
    ),
    "GetUserCards": cards_pb2.GetUserCardsRequest(),
    "GetUserPrimaryCard": cards_pb2.GetUserPrimaryCardRequest(),
    "CreateStripeCustomer": cards_pb2.CreateStripeCustomerRequest(
        payment_method_token="pm_card_visa"
    ),
    "CreateAuthorizeCustomer": cards_pb2.CreateAuthorizeCustomerRequest(payment_profile=PROFILE),
    "ImportCustomer": cards_pb2.ImportCustomerRequest(
        gateway=types_pb2.GATEWAY_STRIPE, customer_id="cus_1"
    ),
    "SetPrimaryCard": cards_pb2.SetPrimaryCardRequest(card_id="CRD-1"),
    "ChargeCustomer": payments_pb2.ChargeCustomerRequest(amount=AMOUNT),
    "FundCustomer": payments_pb2.FundCustomerRequest(amount=AMOUNT),
    "GetPaymentRecords": payments_pb2.GetPaymentRecordsRequest(),
    "ListRefunds": refunds_pb2.ListRefundsRequest(),
    "GetUserWallet": wallet_pb2.GetUserWalletRequest(),
    "GetWalletHistory": wallet_pb2.GetWalletHistoryRequest(),
    "ChargeWallet": wallet_pb2.ChargeWalletRequest(amount=AMOUNT),
    "ListReceivables": wallet_pb2.ListReceivablesRequest(),
    "SettleReceivable": wallet_pb2.SettleReceivableRequest(),
    "HoldWallet": wallet_pb2.HoldWalletRequest(amount=AMOUNT, expires_in_seconds=60),
    "ListHolds": wallet_pb2.ListHoldsRequest(),
    "AddWalletFunds": wallet_pb2.AddWalletFundsRequest(amount=AMOUNT),
    "CreateRecurring": recurring_pb2.CreateRecurringRequest(
        amount=AMOUNT, interval_type=recurring_pb2.INTERVAL_TYPE_DAY
    ),
    "UpdateRecurring": recurring_pb2.UpdateRecurringRequest(),
    "PauseRecurring": recurring_pb2.PauseRecurringRequest(),
    "ResumeRecurring": recurring_pb2.ResumeRecurringRequest(),
    "CancelRecurring": recurring_pb2.CancelRecurringRequest(),
    "ListRecurring": recurring_pb2.ListRecurringRequest(),
    "GetRecurringLogs": recurring_pb2.GetRecurringLogsRequest(),
    "GetRecurring": recurring_pb2.GetRecurringRequest(),
    "SkipNext": recurring_pb2.SkipNextRequest(),
    "RetryRecurring": recurring_pb2.RetryRecurringRequest(),
    "ListAuditEvents": audit_pb2.ListAuditEventsRequest(),
}


def test_the_table_holds_every_action_with_an_id() -> None:
    taking = {
        method.name
        for method in service_methods()
        if method.GetOptions().HasExtension(annotations_pb2.action)
        and {"user_id", "recurring_id"} & set(method.input_type.fields_by_name)
    }
    assert set(REQUESTS) == taking


async def result_of(business: Business, action: str, identifier: str) -> Any:
    request = type(REQUESTS[action])()
    request.CopyFrom(REQUESTS[action])
    field = "user_id" if "user_id" in request.DESCRIPTOR.fields_by_name else "recurring_id"
    setattr(request, field, identifier)
    try:
        return await business.call(request)
    except CoreError as error:
        return (error.reason, error.message, error.code, error.metadata, error.fields)


@pytest.mark.parametrize("action", REQUESTS)
async def test_an_id_of_another_business_is_like_an_unknown_one(
    shop: Business, action: str
) -> None:
    theirs = await create_user(shop)
    await save_card(shop, theirs)
    stranger = await with_stripe(await register(shop.client, "stranger"))
    await create_user(stranger)
    foreign = await result_of(stranger, action, theirs)
    assert foreign == await result_of(stranger, action, "USR-" + "0" * 26)


IDS = {
    "user_id": "USR-",
    "from_user_id": "USR-",
    "to_user_id": "USR-",
    "recurring_id": "REC-",
    "card_id": "CRD-",
    "payment_id": "PAY-",
    "transaction_id": "pi_",
    "hold_id": "HLD-",
    "key_id": "KEY-",
}
"""Fields with an id of ours or of the gateway's, and how these ids begin."""
MORE: dict[str, dict[str, Any]] = {
    "SetPrimaryCard": {"user_id": "USR-1", "card_id": "CRD-1"},
    "UpdateCard": {"exp_month": 12, "exp_year": 2060},
    "TransferWallet": {"from_user_id": "USR-1", "to_user_id": "USR-2", "amount": AMOUNT},
    "RevokeApiKey": {},
}
"""Other fields of the actions that `REQUESTS` does not hold."""


def actions_with_ids() -> list[tuple[str, str]]:
    """Return every action with each of its fields that has an id."""
    return [
        (method.name, field)
        for method in service_methods()
        if method.GetOptions().HasExtension(annotations_pb2.action)
        for field in method.input_type.fields_by_name
        if field in IDS
    ]


def test_every_id_of_an_action_is_one_whose_owner_is_known() -> None:
    named = {
        field
        for method in service_methods()
        if method.GetOptions().HasExtension(annotations_pb2.action)
        for field in method.input_type.fields_by_name
        if field.endswith("_id")
    }
    assert named - IDS.keys() == {"customer_id"}, "of a gateway, found by the caller's own keys"


async def everything_of(business: Business) -> dict[str, str]:
    """Let the business have one of everything that has an id."""
    user_id = await create_user(business)
    card = await save_card(business, user_id)
    funding = payments_pb2.FundCustomerRequest(user_id=user_id, amount=Money(units=50))
    paid = await business.call(funding)
    payments = await business.call(payments_pb2.GetPaymentRecordsRequest())
    hold = wallet_pb2.HoldWalletRequest(user_id=user_id, amount=AMOUNT, expires_in_seconds=600)
    job = recurring_pb2.CreateRecurringRequest(
        user_id=user_id, amount=AMOUNT, interval_type=recurring_pb2.INTERVAL_TYPE_DAY
    )
    key = business_pb2.CreateApiKeyRequest(name="k", scopes=[business_pb2.API_KEY_SCOPE_READ])
    return {
        **dict.fromkeys(("user_id", "from_user_id", "to_user_id"), user_id),
        "recurring_id": (await business.call(job)).recurring_id,
        "card_id": card.card.card_id,
        "payment_id": payments.payments[0].payment_id,
        "transaction_id": paid.transaction_id,
        "hold_id": (await business.call(hold)).hold_id,
        "key_id": (await business.call(key)).key_info.key_id,
    }


async def answer_to(business: Business, action: str, field: str, identifier: str) -> Any:
    request: Any = message_factory.GetMessageClass(METHODS[action].input_type)()
    if action in REQUESTS:
        request.CopyFrom(REQUESTS[action])
    for name, value in MORE.get(action, {}).items():
        if isinstance(value, Money):
            getattr(request, name).CopyFrom(value)
        else:
            setattr(request, name, value)
    setattr(request, field, identifier)
    try:
        return await business.call(request)
    except CoreError as error:
        return (error.reason, error.message, error.code, error.metadata, error.fields)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_every_action_answers_every_id_of_another_business_as_an_unknown_one(
    shop: Business,
) -> None:
    theirs = await everything_of(shop)
    stranger = await with_stripe(await register(shop.client, "stranger"))
    differing, not_found = [], 0
    for action, field in actions_with_ids():
        known = theirs[field]
        assert known.startswith(IDS[field])
        unknown = known[:-6] + "000000"
        foreign = await answer_to(stranger, action, field, known)
        not_found += str(foreign[0]).endswith("_NOT_FOUND") if isinstance(foreign, tuple) else 0
        if foreign != await answer_to(stranger, action, field, unknown):
            differing.append((action, field, foreign))
    assert differing == []
    assert not_found > 30, "most have no other answer than that"


async def test_a_business_lists_only_its_own_users(core: CoreClient) -> None:
    first, second = await register(core, "first"), await register(core, "second")
    user_id = await create_user(first)
    listed = await first.call(users_pb2.GetAllUsersRequest())
    assert [user.user_id for user in listed.users] == [user_id]
    assert (await second.call(users_pb2.GetAllUsersRequest())).total == 0


async def test_a_cursor_of_another_business_is_refused(core: CoreClient) -> None:
    first, second = await register(core, "first"), await register(core, "second")
    for business in (first, second):
        for _ in range(2):
            await create_user(business)
    cursor = (await first.call(users_pb2.GetAllUsersRequest(limit=1))).next_cursor
    with pytest.raises(CoreError) as refused:
        await second.call(users_pb2.GetAllUsersRequest(cursor=cursor))
    assert [problem.field for problem in refused.value.fields] == ["cursor"]
