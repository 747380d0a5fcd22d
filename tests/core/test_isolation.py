"""A business cannot distinguish the ids of another business from unknown ids."""

from typing import Any

import pytest
from google.type.money_pb2 import Money

from nivisco.annotations.v1 import annotations_pb2
from nivisco.payments.v1 import (
    audit_pb2,
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
from tests.core.running import Business, create_user, register, save_card, with_stripe

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
