"""Authorize.Net's API: finds the endpoint that a request's root element names, and answers."""

from __future__ import annotations

from typing import Final

from sandbox.authorize.calls import Call, Endpoint, Fields
from sandbox.authorize.customers import (
    create_customer_profile,
    create_payment_profile,
    update_payment_profile,
)
from sandbox.authorize.reports import (
    transaction_details,
    transactions_of_customer,
    unsettled_transactions,
)
from sandbox.authorize.transactions import create_transaction
from sandbox.authorize.xml import (
    SUCCESSFUL,
    ApiError,
    Element,
    messages,
    write,
)

PATH: Final = "/xml/v1/request.api"

_ENDPOINTS: Final[dict[str, tuple[Endpoint, str]]] = {
    # By the request's root element: who answers it, and with which one.
    "createCustomerProfileRequest": (create_customer_profile, "createCustomerProfileResponse"),
    "createCustomerPaymentProfileRequest": (
        create_payment_profile,
        "createCustomerPaymentProfileResponse",
    ),
    "updateCustomerPaymentProfileRequest": (
        update_payment_profile,
        "updateCustomerPaymentProfileResponse",
    ),
    "createTransactionRequest": (create_transaction, "createTransactionResponse"),
    "getTransactionListForCustomerRequest": (
        transactions_of_customer,
        "getTransactionListResponse",
    ),
    "getUnsettledTransactionListRequest": (
        unsettled_transactions,
        "getUnsettledTransactionListResponse",
    ),
    "getTransactionDetailsRequest": (transaction_details, "getTransactionDetailsResponse"),
}
REQUESTS: Final = tuple(_ENDPOINTS)

_WHERE_REFUSED: Final[dict[str, tuple[str] | tuple[str, Fields]]] = {
    # Where the schema has an answer hold more than messages.
    "createTransactionRequest": ("createTransactionResponse", [("transactionResponse", [])]),
    "getTransactionDetailsRequest": ("ErrorResponse",),
}


def carry_out(call: Call) -> bytes:
    """The answer to a request, its effect kept; or refused, with its effect undone."""
    endpoint, answer = _ENDPOINTS[call.request.name]
    with call.books.transaction():
        try:
            with call.books.effect():
                fields = endpoint(call)
        except ApiError as error:
            return refused(error, call.request, *_WHERE_REFUSED.get(call.request.name, (answer,)))
    if not any(name == "messages" for name, _ in fields):
        fields = [SUCCESSFUL, *fields]
    return write(answer, [*_reference(call.request), *fields])


def refused(
    error: ApiError,
    request: Element | None = None,
    name: str = "ErrorResponse",
    rest: Fields = (),
) -> bytes:
    """The answer to a request that was refused."""
    said = messages("Error", error.code, error.text)
    return write(name, [*_reference(request), said, *error.fields, *rest])


def _reference(request: Element | None) -> Fields:
    """The request's own reference, sent back."""
    reference = request.text("refId") if request is not None else ""
    return [("refId", reference)] if reference else []
