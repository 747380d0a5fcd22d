"""The scenario with the Python client that openapi-generator makes of /openapi-v1.json."""

import json
import os
from typing import Any

import nivisco_api as api
from nivisco_api.rest import ApiException


def client(api_key: str) -> api.ApiClient:
    configuration = api.Configuration(
        host=os.environ["CLIENT_URL"],
        username=os.environ["CLIENT_BUSINESS_ID"],
        password=api_key,
    )
    return api.ApiClient(configuration)


def refused(payments: api.PaymentsApi, request: api.ChargeCustomerRequest) -> dict[str, Any]:
    try:
        payments.charge_customer(request)
    except ApiException as error:
        body = error.data
        found = {"status": error.status, "error": body.error, "code": getattr(body, "code", None)}
        found["decline_code"] = getattr(body, "decline_code", None)
        found["fields"] = [each.var_field for each in getattr(body, "fields", None) or []]
        return found
    raise AssertionError("it was charged")


def main() -> None:
    own = client(os.environ["CLIENT_API_KEY"])
    users, cards, payments = api.UsersApi(own), api.CardsApi(own), api.PaymentsApi(own)
    new = api.CreateUserRequestNewUser(name="Ada", email="ada@example.com")
    user_id = users.create_user(api.CreateUserRequest(user=new)).user.user_id

    def save(token: str) -> None:
        card = api.CreateStripeCustomerRequest(
            user_id=user_id, payment_method_token=token, set_as_primary=True
        )
        cards.create_stripe_customer(card)

    def charge(amount: str, key: str, user: str = user_id) -> api.ChargeCustomerRequest:
        return api.ChargeCustomerRequest(
            user_id=user, amount=amount, env=api.Env.TEST, idempotency_key=key
        )

    save("pm_card_visa")
    charged = payments.charge_customer(charge("25.50", "order-1"))
    again = payments.charge_customer(charge("25.50", "order-1"))
    save("pm_card_chargeCustomerFail")
    results = {
        "charged": [charged.success, charged.status, charged.amount, charged.currency],
        "replayed": again.payment_id == charged.payment_id is not None,
        "declined": refused(payments, charge("9.00", "order-2")),
        "unknown_user": refused(payments, charge("9.00", "order-3", "USR-0")),
        "invalid": refused(payments, charge("1.005", "order-4")),
        "wrong_key": refused(api.PaymentsApi(client("wrong")), charge("9.00", "order-5")),
    }
    listed = payments.get_payment_records(api.GetPaymentRecordsRequest(user_id=user_id))
    results["listed"] = [[each.status, each.amount, each.description] for each in listed.payments]
    print(json.dumps(results))


main()
