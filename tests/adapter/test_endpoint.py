"""The JSON endpoint over real HTTP and gRPC, with a recording core."""

import asyncio
import json
import logging
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.type.money_pb2 import Money

from adapter.settings import AdapterSettings
from nivisco.payments.v1 import authentication_pb2, payments_pb2, types_pb2
from rpc.error_details import FieldProblem
from tests.adapter.recording_core import WRONG_KEY, BareStatus, CoreErrorReply, RecordingCore
from tests.adapter.running import CREDENTIALS, AdapterClient, running_adapter

INVALID_JSON = {"success": False, "error": "Invalid JSON"}
INVALID_CREDENTIALS = {"success": False, "error": "Invalid business credentials"}
MISSING = {"success": False, "error": "Missing required fields: business_id and api_key"}
CHARGE: dict[str, object] = {"user_id": "USR-1", "amount": 25.5, "currency": "usd"}
CHARGED = payments_pb2.ChargeCustomerResponse(
    transaction_id="pi_123",
    amount=Money(currency_code="USD", units=25, nanos=500_000_000),
    status=payments_pb2.PAYMENT_STATUS_SUCCEEDED,
    payment_id="PAY-1",
    env=types_pb2.ENV_TEST,
    gateway=types_pb2.GATEWAY_STRIPE,
)


def unexpected_exceptions(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = (r for r in caplog.records if r.getMessage() == "unexpected exception")
    return [record.__dict__["exception"] for record in messages]


def refused(code: grpc.StatusCode, reason: str, **more: Any) -> CoreErrorReply:
    return CoreErrorReply(code, reason, **more)


async def test_a_charge_reaches_the_core_and_its_response_the_client(
    client: AdapterClient, core: RecordingCore
) -> None:
    core.replies["ChargeCustomer"] = CHARGED
    response = await client.post("charge_customer", **CHARGE)
    assert response == (
        200,
        {
            "success": True,
            "transaction_id": "pi_123",
            "amount": 25.5,
            "currency": "usd",
            "status": "succeeded",
            "payment_id": "PAY-1",
            "env": "TEST",
            "gateway": "stripe",
        },
    )
    [call] = core.calls
    assert call.request == payments_pb2.ChargeCustomerRequest(
        user_id="USR-1", amount=Money(currency_code="USD", units=25, nanos=500_000_000)
    )
    assert call.problems == []


async def test_credentials_are_sent_as_metadata(client: AdapterClient, core: RecordingCore) -> None:
    await client.post("validate_business")
    metadata = core.calls[0].metadata
    assert metadata["x-business-id"] == CREDENTIALS["business_id"]
    assert metadata["x-api-key"] == CREDENTIALS["api_key"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"NaN", b"{'a':1}", b'{"a":1}x', b"\xff",
        b"\xff\xfe{}", b'{"a":"\xc3("}', b"[" * 60_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
)  # fmt: skip
async def test_a_body_that_is_not_a_json_object_gets_the_documented_400(
    client: AdapterClient, body: bytes
) -> None:
    assert await client.post_bytes(body) == (400, INVALID_JSON)


@pytest.mark.parametrize(
    "envelope",
    [
        {}, {"action": "validate_business"}, {"business_id": "x"}, {"api_key": "x"},
        {"business_id": "x", "api_key": None}, {"business_id": "", "api_key": "x"},
    ],
)  # fmt: skip
async def test_a_missing_credential_gets_the_documented_400(
    client: AdapterClient, envelope: dict[str, object]
) -> None:
    assert await client.post_bytes(json.dumps(envelope).encode()) == (400, MISSING)


@pytest.mark.parametrize("credential", [5, True, [], {}, "a" * 129, "ä", "a b", "a\n", "\ud800"])
async def test_a_malformed_credential_gets_a_401_without_a_call_to_the_core(
    client: AdapterClient, core: RecordingCore, credential: object
) -> None:
    assert await client.post("validate_business", api_key=credential) == (401, INVALID_CREDENTIALS)
    assert core.calls == []


@pytest.mark.parametrize(
    ("method", "body", "status", "code"),
    [
        ("GET", b"", 405, "METHOD_NOT_ALLOWED"),
        ("POST", b"{", 400, "INVALID_JSON"),
        ("POST", b"{}", 400, "CREDENTIALS_REQUIRED"),
        ("POST", b'{"business_id":"x","api_key":"wrong","action":"a"}', 401, "INVALID_CREDENTIALS"),
        ("POST", b" " * 65_537, 413, "BODY_TOO_LARGE"),
        ("POST", json.dumps({**CREDENTIALS, "action": "x"}).encode(), 400, "UNKNOWN_ACTION"),
        ("POST", json.dumps(CREDENTIALS).encode(), 400, "INVALID_FIELDS"),
    ],
)
async def test_an_error_has_its_code_in_a_header(
    client: AdapterClient, method: str, body: bytes, status: int, code: str
) -> None:
    async with client.session.request(method, client.url, data=body) as response:
        assert (response.status, response.headers["X-Error-Code"]) == (status, code)
        assert (await response.json()).get("code", code) == code


@pytest.mark.parametrize(
    ("reason", "code"), [("INTERNAL", "INTERNAL"), ("CARD_DECLINED", "CARD_DECLINED")]
)
async def test_an_error_of_the_core_has_its_code_in_a_header(
    client: AdapterClient, core: RecordingCore, reason: str, code: str
) -> None:
    core.replies["ChargeCustomer"] = refused(grpc.StatusCode.INTERNAL, reason)
    envelope = {**CREDENTIALS, "action": "charge_customer", **CHARGE}
    async with client.session.post(client.url, json=envelope) as response:
        assert response.headers["X-Error-Code"] == code


async def test_a_success_has_no_error_code(client: AdapterClient) -> None:
    envelope = {**CREDENTIALS, "action": "validate_business"}
    async with client.session.post(client.url, json=envelope) as response:
        assert "X-Error-Code" not in response.headers


async def test_wrong_credentials_take_precedence_over_field_problems(client: AdapterClient) -> None:
    response = await client.post("charge_customer", api_key=WRONG_KEY, nope=1, amount="x")
    assert response == (401, INVALID_CREDENTIALS)


@pytest.mark.parametrize("action", ["nope", None, "", 5, [], {}])
async def test_wrong_credentials_take_precedence_over_an_unknown_action(
    client: AdapterClient, action: object
) -> None:
    response = await client.post(None, api_key=WRONG_KEY, action=action)
    assert response == (401, INVALID_CREDENTIALS)


async def test_the_error_for_an_unknown_action_suggests_a_similar_name(
    client: AdapterClient,
) -> None:
    assert await client.post("charge_costumer") == (
        400,
        {
            "success": False,
            "error": "Unknown action; did you mean `charge_customer`?",
            "code": "UNKNOWN_ACTION",
        },
    )


async def test_the_error_for_an_unknown_action_does_not_contain_it(client: AdapterClient) -> None:
    _, body = await client.post("4111111111111111")
    assert body["error"] == "Unknown action"


@pytest.mark.parametrize(
    ("action", "description"),
    [(None, "is required"), ("", "is required"), (5, "must be a string"), ([], "must be a string")],
)
async def test_an_absent_or_mistyped_action_is_a_field_problem(
    client: AdapterClient, action: object, description: str
) -> None:
    status, body = await client.post(None, action=action)
    assert (status, body["code"]) == (400, "INVALID_FIELDS")
    assert body["fields"] == [{"field": "action", "description": description}]


async def test_a_duplicate_action_is_a_field_problem(client: AdapterClient) -> None:
    body = json.dumps(CREDENTIALS)[:-1] + ',"action":"validate_business","action":"nope"}'
    _, response = await client.post_bytes(body.encode())
    assert response["fields"] == [{"field": "action", "description": "is given more than once"}]


@pytest.mark.parametrize("method", ["create_admin", "receive_webhook", "execute_occurrence"])
async def test_a_method_of_an_internal_service_is_not_an_action(
    client: AdapterClient, method: str
) -> None:
    _, body = await client.post(method)
    assert body["code"] == "UNKNOWN_ACTION"


async def test_problems_of_adapter_and_core_are_in_one_list(
    client: AdapterClient, core: RecordingCore
) -> None:
    core.own_problems = [
        FieldProblem("amount", "is required"),
        FieldProblem("amount.currency_code", "is not a currency"),
        FieldProblem("user_id", "is required"),
    ]
    response = await client.post("charge_customer", amount="lots", currency="xyz", amuont=1)
    assert response == (
        400,
        {
            "success": False,
            "error": "Invalid fields: amount, amuont, currency, user_id",
            "code": "INVALID_FIELDS",
            "fields": [
                {"field": "amount", "description": "must be a number such as 25.50"},
                {
                    "field": "amuont",
                    "description": "is not a field of this request; did you mean `amount`?",
                },
                {"field": "currency", "description": "is not a currency"},
                {"field": "user_id", "description": "is required"},
            ],
        },
    )


async def test_a_single_problem_is_in_the_error_message(
    client: AdapterClient, core: RecordingCore
) -> None:
    core.own_problems = [FieldProblem("amount.nanos", "has more decimals than the currency")]
    _, body = await client.post("charge_customer", **CHARGE)
    assert body["error"] == "Invalid field amount: has more decimals than the currency"


async def test_problems_of_the_adapter_are_sent_to_the_core(
    client: AdapterClient, core: RecordingCore
) -> None:
    await client.post("create_user", user={"nmae": "A"})
    assert [problem.field for problem in core.calls[0].problems] == ["user.nmae"]


async def test_twenty_problems_with_long_names_fit_into_the_metadata(
    client: AdapterClient, core: RecordingCore
) -> None:
    names = {"\U0001f600" * 63 + chr(0x1F600 + n): 1 for n in range(40)}
    status, body = await client.post("create_user", user=names)
    assert (status, len(body["fields"])) == (400, 20)


async def test_a_core_that_executes_a_request_with_problems_is_an_internal_error(
    client: AdapterClient, core: RecordingCore, caplog: pytest.LogCaptureFixture
) -> None:
    core.ignores_problems = True
    status, body = await client.post("charge_customer", **CHARGE, nope=1)
    assert (status, body["error"]) == (500, "Internal server error")
    assert unexpected_exceptions(caplog) == ["UnexpectedSuccess"]


async def test_a_problem_of_the_update_mask_is_an_internal_error(
    client: AdapterClient, core: RecordingCore, caplog: pytest.LogCaptureFixture
) -> None:
    core.own_problems = [FieldProblem("update_mask", "names x, which cannot be cleared")]
    status, body = await client.post("update_recurring", recurring_id="REC-1", end_at=None)
    assert (status, body["error"]) == (500, "Internal server error")
    assert unexpected_exceptions(caplog) == ["InvalidUpdateMask"]


async def test_a_read_accepts_an_idempotency_key_without_using_it(
    client: AdapterClient, core: RecordingCore
) -> None:
    status, _ = await client.post("validate_business", idempotency_key="once")
    assert status == 200
    assert core.calls[0].request == authentication_pb2.ValidateBusinessRequest()


@pytest.mark.parametrize("key", ["", "k" * 65, "ä", "a\tb", 5, {}])
async def test_a_read_rejects_a_malformed_idempotency_key(
    client: AdapterClient, key: object
) -> None:
    _, body = await client.post("validate_business", idempotency_key=key)
    assert [field["field"] for field in body["fields"]] == ["idempotency_key"]


async def test_the_idempotency_key_of_a_mutating_action_is_sent_to_the_core(
    client: AdapterClient, core: RecordingCore
) -> None:
    await client.post("charge_customer", **CHARGE, idempotency_key="once")
    request = core.calls[0].request
    assert isinstance(request, payments_pb2.ChargeCustomerRequest)
    assert request.idempotency_key == "once"


@pytest.mark.parametrize("fields", [{}, {"idempotency_key": None}, {"idempotency_key": "once"}])
async def test_the_idempotency_key_header_means_the_same_as_the_field(
    client: AdapterClient, core: RecordingCore, fields: dict[str, object]
) -> None:
    envelope = {**CREDENTIALS, "action": "charge_customer", **CHARGE, **fields}
    headers = {"Idempotency-Key": "once"}
    async with client.session.post(client.url, json=envelope, headers=headers) as response:
        assert response.status == 200
    request = core.calls[0].request
    assert isinstance(request, payments_pb2.ChargeCustomerRequest)
    assert request.idempotency_key == "once"


@pytest.mark.parametrize("action", ["charge_customer", "get_payment_records"])
@pytest.mark.parametrize(
    ("header_keys", "field_key"), [(["once"], "twice"), (["once", "twice"], None), (["once"], "")]
)
async def test_an_idempotency_key_header_that_differs_from_the_field_is_a_field_problem(
    client: AdapterClient,
    core: RecordingCore,
    action: str,
    header_keys: list[str],
    field_key: str | None,
) -> None:
    fields = CHARGE if action == "charge_customer" else {}
    envelope = {**CREDENTIALS, "action": action, **fields, "idempotency_key": field_key}
    headers = [("Idempotency-Key", key) for key in header_keys]
    async with client.session.post(client.url, json=envelope, headers=headers) as response:
        body = await response.json()
    assert (response.status, body["code"]) == (400, "INVALID_FIELDS")
    description = "has another value in the `Idempotency-Key` header: send one of them"
    assert body["fields"][0] == {"field": "idempotency_key", "description": description}
    assert [problem.field for problem in core.calls[0].problems][:1] == ["idempotency_key"]


@pytest.mark.parametrize("key", ["", "k" * 65, "\u00e4"])
async def test_a_malformed_idempotency_key_header_is_a_problem_of_the_field(
    client: AdapterClient, key: str
) -> None:
    envelope = {**CREDENTIALS, "action": "validate_business"}
    headers = {"Idempotency-Key": key}
    async with client.session.post(client.url, json=envelope, headers=headers) as response:
        body = await response.json()
    assert [field["field"] for field in body["fields"]] == ["idempotency_key"]


async def test_metadata_of_an_error_become_keys_of_the_body(
    client: AdapterClient, core: RecordingCore
) -> None:
    core.replies["ChargeCustomer"] = refused(
        grpc.StatusCode.FAILED_PRECONDITION,
        "CARD_DECLINED",
        message="The card was declined.",
        metadata={"decline_code": "lost_card", "transaction_id": "pi_1", "success": "true"},
    )
    assert await client.post("charge_customer", **CHARGE) == (
        402,
        {
            "success": False,
            "error": "The card was declined.",
            "code": "CARD_DECLINED",
            "decline_code": "lost_card",
            "transaction_id": "pi_1",
        },
    )


async def test_a_retry_delay_becomes_a_retry_after_header(
    client: AdapterClient, core: RecordingCore
) -> None:
    core.replies["ChargeCustomer"] = refused(
        grpc.StatusCode.UNAVAILABLE, "REQUEST_IN_PROGRESS", retry_after_seconds=7
    )
    envelope = {**CREDENTIALS, "action": "charge_customer", **CHARGE}
    async with client.session.post(client.url, json=envelope) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "7")


async def test_an_internal_error_of_the_core_contains_only_the_request_id(
    client: AdapterClient, core: RecordingCore
) -> None:
    core.replies["ChargeCustomer"] = refused(
        grpc.StatusCode.INTERNAL, "INTERNAL", metadata={"trace": "secret"}
    )
    envelope = {**CREDENTIALS, "action": "charge_customer", **CHARGE}
    headers = {"X-Request-Id": "req-1"}
    async with client.session.post(client.url, json=envelope, headers=headers) as response:
        body = await response.json()
    assert (response.status, body) == (
        500,
        {"success": False, "error": "Internal server error", "details": "req-1"},
    )


async def test_an_exception_in_the_adapter_exposes_no_value(
    client: AdapterClient, core: RecordingCore, caplog: pytest.LogCaptureFixture
) -> None:
    mixed = payments_pb2.Payment(
        amount=Money(currency_code="USD"), amount_refunded=Money(currency_code="EUR")
    )
    core.replies["GetPaymentRecords"] = payments_pb2.GetPaymentRecordsResponse(payments=[mixed])
    envelope = {**CREDENTIALS, "action": "get_payment_records"}
    headers = {"X-Request-Id": "req-2"}
    async with client.session.post(client.url, json=envelope, headers=headers) as response:
        body = await response.json()
    assert (response.status, body) == (
        500,
        {"success": False, "error": "Internal server error", "details": "req-2"},
    )
    [line] = [record for record in caplog.records if record.getMessage() == "unexpected exception"]
    assert line.__dict__["exception"] == "ValueError"
    assert "transcoding/responses.py" in line.__dict__["traceback"]
    assert "Payment mixes currencies" not in repr(line.__dict__)


async def test_an_unknown_reason_is_passed_on(client: AdapterClient, core: RecordingCore) -> None:
    core.replies["ChargeCustomer"] = refused(grpc.StatusCode.NOT_FOUND, "COUPON_NOT_FOUND")
    status, body = await client.post("charge_customer", **CHARGE)
    assert (status, body["code"]) == (404, "COUPON_NOT_FOUND")


@pytest.mark.parametrize(
    ("action", "code", "status", "reason"),
    [
        ("charge_customer", grpc.StatusCode.DEADLINE_EXCEEDED, 504, "OUTCOME_UNKNOWN"),
        ("get_payment_records", grpc.StatusCode.DEADLINE_EXCEEDED, 503, "SERVICE_UNAVAILABLE"),
        ("get_payment_records", grpc.StatusCode.UNAVAILABLE, 503, "SERVICE_UNAVAILABLE"),
        ("charge_customer", grpc.StatusCode.UNIMPLEMENTED, 501, "NOT_IMPLEMENTED"),
    ],
)
async def test_a_bare_grpc_status_becomes_a_reason_that_fits_the_action(
    client: AdapterClient,
    core: RecordingCore,
    action: str,
    code: grpc.StatusCode,
    status: int,
    reason: str,
) -> None:
    method = {"charge_customer": "ChargeCustomer", "get_payment_records": "GetPaymentRecords"}
    core.replies[method[action]] = BareStatus(code)
    fields = CHARGE if action == "charge_customer" else {}
    answered, body = await client.post(action, **fields)
    assert (answered, body["code"]) == (status, reason)


async def test_an_unreachable_core_is_a_503(settings: AdapterSettings) -> None:
    unreachable = replace(settings, core_target="127.0.0.1:1")
    async with running_adapter(unreachable) as client:
        status, body = await client.post("validate_business")
    assert (status, body["code"]) == (503, "SERVICE_UNAVAILABLE")


async def test_a_missed_deadline_is_an_unknown_outcome(
    settings: AdapterSettings, core: RecordingCore
) -> None:
    never = asyncio.Event()

    async def hang(_request: Message) -> Message:
        await never.wait()
        return CHARGED

    core.replies["ChargeCustomer"] = hang
    async with running_adapter(replace(settings, core_timeout_seconds=0.05)) as client:
        status, body = await client.post("charge_customer", **CHARGE)
    never.set()
    assert (status, body["code"]) == (504, "OUTCOME_UNKNOWN")


async def test_a_request_above_the_concurrency_limit_gets_a_429(
    settings: AdapterSettings, core: RecordingCore
) -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def wait(_request: Message) -> Message:
        begun.set()
        await finish.wait()
        return CHARGED

    core.replies["ChargeCustomer"] = wait
    async with running_adapter(replace(settings, max_in_flight=1)) as client:
        first = asyncio.create_task(client.post("charge_customer", **CHARGE))
        await begun.wait()
        async with client.session.post(client.url, data=b"{}") as refused_one:
            body = await refused_one.json()
        finish.set()
        assert (await first)[0] == 200
        assert (await client.post("validate_business"))[0] == 200
    assert (refused_one.status, body["code"]) == (429, "RATE_LIMITED")
    assert refused_one.headers["Retry-After"] == "1"


async def test_the_log_line_has_action_and_business_but_no_content(
    client: AdapterClient, core: RecordingCore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    profile = {"card_number": "4111111111111111", "exp_month": 12, "exp_year": 2030, "x": 1}
    await client.post("create_authorize_customer", user_id="USR-1", payment_profile=profile)
    [line] = [record for record in caplog.records if record.name == "adapter"]
    assert line.__dict__["action"] == "create_authorize_customer"
    assert line.__dict__["business_id"] == CREDENTIALS["business_id"]
    assert line.__dict__["status"] == 400
    assert line.__dict__["milliseconds"] > 0
    assert "4111111111111111" not in repr([record.__dict__ for record in caplog.records])
    assert CREDENTIALS["api_key"] not in repr([record.__dict__ for record in caplog.records])


UNAUTHENTICATED_REPLIES: list[CoreErrorReply | BareStatus] = [
    CoreErrorReply(grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIALS"),
    CoreErrorReply(grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    CoreErrorReply(grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN"),
    CoreErrorReply(grpc.StatusCode.INTERNAL, "INTERNAL"),
    BareStatus(grpc.StatusCode.UNAVAILABLE),
    BareStatus(grpc.StatusCode.DEADLINE_EXCEEDED),
    BareStatus(grpc.StatusCode.UNIMPLEMENTED),
]
AUTHENTICATED_REPLIES: list[Message | CoreErrorReply] = [
    authentication_pb2.ValidateBusinessResponse(),
    CoreErrorReply(grpc.StatusCode.PERMISSION_DENIED, "ADMIN_ONLY"),
    CoreErrorReply(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS"),
    CoreErrorReply(grpc.StatusCode.FAILED_PRECONDITION, "CARD_DECLINED"),
]


@pytest.mark.parametrize("action", ["validate_business", "nope"])
@pytest.mark.parametrize(
    ("reply", "named"),
    [
        *((reply, False) for reply in UNAUTHENTICATED_REPLIES),
        *((r, True) for r in AUTHENTICATED_REPLIES),
    ],
)
async def test_the_log_line_has_a_business_only_with_valid_credentials(
    client: AdapterClient,
    core: RecordingCore,
    caplog: pytest.LogCaptureFixture,
    action: str,
    reply: Message | CoreErrorReply | BareStatus,
    named: bool,
) -> None:
    caplog.set_level(logging.INFO)
    core.replies["ValidateBusiness"] = reply
    await client.post(action)
    [line] = [record for record in caplog.records if record.name == "adapter"]
    assert line.__dict__["business_id"] == (CREDENTIALS["business_id"] if named else None)


async def test_swapped_credentials_are_not_logged(
    client: AdapterClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    status, _ = await client.post("validate_business", business_id="f" * 64, api_key=WRONG_KEY)
    assert status == 401
    assert "f" * 64 not in repr([record.__dict__ for record in caplog.records])
