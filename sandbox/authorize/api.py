"""Routes a request to the Authorize.Net endpoint that its root element names, and executes it."""

from __future__ import annotations

from typing import Final

from sandbox.authorize.calls import Call, Endpoint, Fields
from sandbox.authorize.customers import (
    create_customer_profile,
    create_payment_profile,
    delete_customer_profile,
    delete_payment_profile,
    get_customer_profile,
    get_payment_profile,
    update_payment_profile,
)
from sandbox.authorize.reports import (
    transaction_details,
    transactions_of_customer,
    unsettled_transactions,
)
from sandbox.authorize.transactions import create_transaction
from sandbox.authorize.xml import SUCCESSFUL, ApiError, Element, messages, write

PATH: Final = "/xml/v1/request.api"


def _authenticate(_call: Call) -> Fields:
    """Handle authenticateTestRequest: the keys were checked."""
    return []


_ENDPOINTS: Final[dict[str, tuple[Endpoint, str]]] = {
    # By the request's root element: the endpoint and the response's root element.
    "createCustomerProfileRequest": (create_customer_profile, "createCustomerProfileResponse"),
    "createCustomerPaymentProfileRequest": (
        create_payment_profile,
        "createCustomerPaymentProfileResponse",
    ),
    "updateCustomerPaymentProfileRequest": (
        update_payment_profile,
        "updateCustomerPaymentProfileResponse",
    ),
    "getCustomerProfileRequest": (get_customer_profile, "getCustomerProfileResponse"),
    "getCustomerPaymentProfileRequest": (
        get_payment_profile,
        "getCustomerPaymentProfileResponse",
    ),
    "deleteCustomerProfileRequest": (delete_customer_profile, "deleteCustomerProfileResponse"),
    "deleteCustomerPaymentProfileRequest": (
        delete_payment_profile,
        "deleteCustomerPaymentProfileResponse",
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
    "authenticateTestRequest": (_authenticate, "authenticateTestResponse"),
}
REQUESTS: Final = tuple(_ENDPOINTS)

_ERROR_RESPONSES: Final[dict[str, tuple[str] | tuple[str, Fields]]] = {
    # Every other endpoint's error is its own response with messages only.
    "createTransactionRequest": ("createTransactionResponse", [("transactionResponse", [])]),
    "getTransactionDetailsRequest": ("ErrorResponse",),
}


def execute(call: Call) -> bytes:
    """Run the endpoint in one transaction; return the response, or an error without effect."""
    endpoint, root = _ENDPOINTS[call.request.name]
    with call.books.transaction():
        try:
            with call.books.savepoint():
                fields = endpoint(call)
        except ApiError as error:
            response = _ERROR_RESPONSES.get(call.request.name, (root,))
            return build_error(error, call.request, *response)
    if not any(name == "messages" for name, _ in fields):
        fields = [SUCCESSFUL, *fields]
    return write(root, [*_echo_reference(call.request), *fields])


def build_error(
    error: ApiError, request: Element | None = None, root: str = "ErrorResponse", rest: Fields = ()
) -> bytes:
    """Return the response to a refused request."""
    error_messages = messages("Error", error.code, error.text)
    return write(root, [*_echo_reference(request), error_messages, *error.fields, *rest])


def _echo_reference(request: Element | None) -> Fields:
    reference = request.text("refId") if request is not None else ""
    return [("refId", reference)] if reference else []
