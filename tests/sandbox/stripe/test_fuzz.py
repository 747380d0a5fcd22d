"""Any input gets a result or an error in Stripe's shape, never a 500."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.books import Books, Scope
from sandbox.stripe.api import API_VERSION, execute, find_endpoint
from sandbox.stripe.calls import Call
from sandbox.stripe.errors import StripeError
from sandbox.stripe.forms import Form, decode

NAMES = st.sampled_from(
    """amount currency customer payment_method confirm off_session metadata expand limit created gte
    lt starting_after ending_before type card number exp_month exp_year cvc token name email
    address line1 shipping invoice_settings default_payment_method preferred_locales balance
    billing_details allowed_payment_method_types automatic_payment_methods enabled return_url
    allow_redirects error_on_requires_action setup_future_usage 0 1""".split()  # noqa: SIM905
)
VALUES = st.one_of(
    st.sampled_from(
        """1 -1 500 999999999999999999 usd jpy true false card pm_card_visa tok_visa data.customer
        pm_card_authenticationRequired pm_card_chargeCustomerFail 4242424242424242 12 2034 always
        never off_session latest_charge data""".split()  # noqa: SIM905
    ),
    st.text(max_size=8),
)
FORMS: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(NAMES, VALUES, max_size=6),
    lambda inner: st.dictionaries(NAMES, st.one_of(VALUES, inner), max_size=6),
    max_leaves=8,
)
ENDPOINTS = st.sampled_from(
    [
        ("POST", "/v1/customers"),
        ("GET", "/v1/customers"),
        ("POST", "/v1/payment_methods"),
        ("GET", "/v1/payment_methods"),
        ("GET", "/v1/payment_methods/pm_card_visa"),
        ("POST", "/v1/payment_methods/pm_card_visa/attach"),
        ("POST", "/v1/payment_intents"),
        ("GET", "/v1/payment_intents"),
        ("POST", "/v1/payment_intents/pi_none/confirm"),
    ]
)
CHARGE: Form = {"amount": "500", "currency": "usd", "payment_method": "pm_card_visa"}


@given(st.binary(max_size=60))
@settings(database=None, deadline=None)
def test_any_bytes_decode_or_raise_stripes_error(encoded: bytes) -> None:
    try:
        form = decode(encoded)
    except StripeError as refused:
        form = refused.response.body
    assert isinstance(form, dict)


@given(ENDPOINTS, FORMS, st.booleans())
@settings(database=None, deadline=None, max_examples=400)
def test_any_parameters_get_a_response_in_stripes_shape(
    endpoint: tuple[str, str], form: Form, charging: bool
) -> None:
    method, path = endpoint
    given_form = {**CHARGE, **form} if charging and path == "/v1/payment_intents" else form
    books = Books(None, lambda: 1_800_000_000.0)
    handler, ids = find_endpoint(method, path)
    scope = Scope("acct_1", livemode=False)
    call = Call(books, scope, method, path, ids, given_form, 1_800_000_000, API_VERSION)
    for _ in range(2):
        answer = execute(call, handler, "req_1", idempotency_key="k", injected=None).response
        assert answer.status in (200, 400, 402, 404)
        assert ("error" in answer.body) == (answer.status != 200)
    books.close()
