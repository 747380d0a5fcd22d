"""POST /v1/{action}: the envelope endpoint with the action in the path, and HTTP Basic."""

import json
from base64 import b64encode
from typing import Any

import pytest

from nivisco.payments.v1 import authentication_pb2, payments_pb2
from tests.adapter.recording_core import WRONG_KEY, RecordingCore
from tests.adapter.running import CREDENTIALS, AdapterClient
from transcoding.actions import build_catalogue

BUSINESS_ID, API_KEY = CREDENTIALS["business_id"], CREDENTIALS["api_key"]
CHARGE: dict[str, object] = {"user_id": "USR-1", "amount": 25.5, "currency": "usd"}
MISSING = {"success": False, "error": "Missing required fields: business_id and api_key"}
INVALID = {"success": False, "error": "Invalid business credentials"}


def encoded(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


def basic(business_id: str = BUSINESS_ID, api_key: str = API_KEY) -> str:
    return f"Basic {encoded(f'{business_id}:{api_key}')}"


async def post(
    client: AdapterClient, path: str, body: object, **headers: str
) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.session.post(client.url + path, data=data, headers=names) as response:
        return response.status, json.loads(await response.read())


@pytest.mark.parametrize(
    ("credentials", "headers"),
    [
        (CREDENTIALS, {}),
        ({}, {"Authorization": basic()}),
        ({}, {"Authorization": basic().replace("Basic", "bAsIc ")}),
        (CREDENTIALS, {"Authorization": basic()}),
        ({"business_id": BUSINESS_ID, "api_key": None}, {"Authorization": basic()}),
        (CREDENTIALS, {"Authorization": "Bearer of-a-proxy"}),
        (CREDENTIALS | {"action": "charge_customer"}, {}),
    ],
)
async def test_the_core_gets_what_the_envelope_would_bring(
    client: AdapterClient,
    core: RecordingCore,
    credentials: dict[str, object],
    headers: dict[str, str],
) -> None:
    expected = await client.post("charge_customer", **CHARGE)
    assert await post(client, "/v1/charge_customer", CHARGE | credentials, **headers) == expected
    envelope, action = core.calls
    assert action.request == envelope.request
    assert action.problems == envelope.problems == []
    for name in ("x-business-id", "x-api-key"):
        assert action.metadata[name] == envelope.metadata[name]


@pytest.mark.parametrize("path", ["//v1/validate_business", "/v1/validate_business/"])
async def test_a_slash_too_many_is_passed_over(client: AdapterClient, path: str) -> None:
    """A base URL with a slash at its end, and a path after it."""
    status, answer = await post(client, path, b"", Authorization=basic())
    assert (status, answer["success"]) == (200, True)


async def test_an_empty_body_has_no_fields(client: AdapterClient, core: RecordingCore) -> None:
    status, _ = await post(client, "/v1/validate_business", b"", Authorization=basic())
    assert status == 200
    assert core.calls[0].request == authentication_pb2.ValidateBusinessRequest()


@pytest.mark.parametrize(
    ("body", "authorization", "expected"),
    [
        (b"[]", basic(), (400, {"success": False, "error": "Invalid JSON"})),
        (b"{", "", (400, {"success": False, "error": "Invalid JSON"})),
        (b"", "", (400, MISSING)),
        (b"{}", "Bearer x", (400, MISSING)),
        (b"{}", basic(api_key=""), (400, MISSING)),
        (b"{}", basic(business_id=""), (400, MISSING)),
        (b"{}", "Basic", (401, INVALID)),
        (b"{}", "Basic !", (401, INVALID)),
        (b"{}", f"Basic {encoded('x')}", (401, INVALID)),
        (b"{}", "Basic /zp4", (401, INVALID)),
        (b"{}", basic(api_key="a b"), (401, INVALID)),
        (b"{}", basic(api_key="a" * 129), (401, INVALID)),
    ],
)
async def test_credentials_that_no_business_has_are_refused_without_a_call(
    client: AdapterClient,
    core: RecordingCore,
    body: bytes,
    authorization: str,
    expected: tuple[int, dict[str, object]],
) -> None:
    answer = await post(client, "/v1/validate_business", body, Authorization=authorization)
    assert answer == expected
    assert core.calls == []


@pytest.mark.parametrize("second", [basic("BUS-2"), basic(), "Bearer x"])
async def test_two_authorization_headers_are_refused(
    client: AdapterClient, core: RecordingCore, second: str
) -> None:
    headers = [("Authorization", basic()), ("Authorization", second)]
    url = f"{client.url}/v1/validate_business"
    async with client.session.post(url, data=b"{}", headers=headers) as response:
        assert (response.status, await response.json()) == (401, INVALID)
    assert core.calls == []


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"api_key": "b" * 64}, ["api_key"]),
        ({"business_id": "BUS-2"}, ["business_id"]),
        ({"business_id": 5, "api_key": []}, ["business_id", "api_key"]),
    ],
)
async def test_other_credentials_in_the_body_than_in_the_header_are_refused(
    client: AdapterClient, core: RecordingCore, body: dict[str, object], names: list[str]
) -> None:
    status, answer = await post(client, "/v1/validate_business", body, Authorization=basic())
    assert (status, answer["code"]) == (400, "INVALID_FIELDS")
    assert [problem["field"] for problem in answer["fields"]] == names
    assert "b" * 64 not in str(answer)
    assert core.calls == []


async def test_the_core_decides_about_the_header_s_credentials(client: AdapterClient) -> None:
    refused = basic(api_key=WRONG_KEY)
    answer = await post(client, "/v1/charge_customer", {"nope": 1}, Authorization=refused)
    assert answer == (401, INVALID)


async def test_a_401_does_not_make_a_browser_ask_for_credentials(client: AdapterClient) -> None:
    headers = {"Authorization": basic(api_key=WRONG_KEY)}
    url = f"{client.url}/v1/validate_business"
    async with client.session.post(url, data=b"{}", headers=headers) as response:
        assert response.status == 401
        assert "WWW-Authenticate" not in response.headers


@pytest.mark.parametrize("named", ["fund_customer", 5, ""])
async def test_another_action_in_the_body_is_an_unknown_field(
    client: AdapterClient, core: RecordingCore, named: object
) -> None:
    body = CHARGE | CREDENTIALS | {"action": named}
    await post(client, "/v1/charge_customer", body)
    [call] = core.calls
    assert [problem.field for problem in call.problems] == ["action"]


async def test_the_header_is_ignored_beside_an_envelope(
    client: AdapterClient, core: RecordingCore
) -> None:
    envelope = {**CREDENTIALS, "action": "validate_business"}
    assert (await post(client, "/", envelope, Authorization=basic("BUS-2")))[0] == 200
    assert core.calls[0].metadata["x-business-id"] == BUSINESS_ID
    assert await post(client, "/", {"action": "validate_business"}, Authorization=basic()) == (
        400,
        MISSING,
    )


async def test_the_idempotency_key_may_be_in_its_header(
    client: AdapterClient, core: RecordingCore
) -> None:
    headers = {"Authorization": basic(), "Idempotency_Key": "order-1"}
    await post(client, "/v1/charge_customer", CHARGE, **headers)
    request = core.calls[0].request
    assert isinstance(request, payments_pb2.ChargeCustomerRequest)
    assert request.idempotency_key == "order-1"


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/charge_costumer", "; did you mean `charge_customer`?"),
        ("/v1/4111111111111111", ""),
        ("/v1/", ""),
        ("/v1", ""),
        ("/charge_customer", ""),
        ("/v1/create_admin", ""),
    ],
)
async def test_an_unknown_action_is_an_unknown_path(
    client: AdapterClient, path: str, hint: str
) -> None:
    error = f"Nothing is served at this path{hint}"
    body = {"success": False, "error": error, "code": "UNKNOWN_PATH"}
    assert await post(client, path, CREDENTIALS) == (404, body)


async def test_an_action_accepts_only_post(client: AdapterClient) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "PUT"):
        async with client.session.request(method, f"{client.url}/v1/charge_customer") as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST"), method


async def test_every_action_has_a_path(client: AdapterClient) -> None:
    for name in build_catalogue():
        for path in (f"/v1/{name}", f"/v1/{name}/"):
            assert await post(client, path, {}) == (400, MISSING), path


async def test_a_request_is_logged_by_its_action_and_without_its_key(
    client: AdapterClient, core: RecordingCore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "adapter")
    await post(client, "/v1/charge_customer", CHARGE, Authorization=basic())
    [record] = [each for each in caplog.records if each.getMessage() == "request completed"]
    assert record.__dict__["action"] == "charge_customer"
    assert record.__dict__["business_id"] == BUSINESS_ID
    assert API_KEY not in str(record.__dict__)
    assert basic().split()[1] not in str(record.__dict__)
