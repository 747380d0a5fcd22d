"""Retries of a client: which calls it repeats, and with which idempotency key."""

import json
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.clients.conftest import CLIENTS_TO_RUN
from tests.clients.failing_server import (
    DROPPED,
    SLOW,
    SLOW_BODY,
    SLOW_HEAD,
    Failing,
    Response,
    failing_server,
)
from tests.clients.runners import Outcome, Runner, running

_KEY = "a-very-secret-api-key"
_CHARGED = Response(
    200,
    '{"success":true,"transaction_id":"pi_1","amount":999999999999.99,"currency":"usd",'
    '"status":"succeeded","payment_id":"PAY-1","env":"TEST","gateway":"stripe","new":1.50}',
)
_READ = Response(200, '{"success":true,"env":"TEST","stripe_public_key":"pk_test_1"}')


def _error(status: int, code: str | None = None, **headers: str) -> Response:
    body: dict[str, object] = {"success": False, "error": "Not now"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, json.dumps(body | ({"code": code} if code else {})), named)


@pytest.fixture(scope="module")
def server() -> Iterator[Failing]:
    with failing_server(time.monotonic) as failing:
        yield failing


@pytest.fixture(params=CLIENTS_TO_RUN, scope="module")
def client(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def patient_client(client: str, server: Failing, built: Path) -> Iterator[Runner]:
    with running(client, server.url, "BUS-1", _KEY, built) as runner:
        yield runner


@pytest.fixture(scope="module")
def impatient_client(client: str, server: Failing, built: Path) -> Iterator[Runner]:
    """A client with a timeout of one second."""
    with running(client, server.url, "BUS-1", _KEY, built, timeout_seconds=1.0) as runner:
        yield runner


def _charge(runner: Runner, key: str | None = None) -> Outcome:
    return runner.call("charge_customer", {"user_id": "USR-1", "amount": "999999999999.99"}, key)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        ([_error(500), _error(504, "OUTCOME_UNKNOWN")], 0.25 + 0.5),
        ([_error(408)], 0.25),
        ([DROPPED, Response(429, "<html>Too Many</html>", {"Retry-After": "1"})], 1.0),
    ],
    ids=["5xx", "408", "no response, then 429 of a proxy"],
)
def test_transient_errors_are_retried_with_the_same_request(
    patient_client: Runner, server: Failing, failures: Sequence[Response | str], seconds: float
) -> None:
    server.play([*failures, _CHARGED])
    outcome = _charge(patient_client)
    assert outcome.result is not None, outcome.shown
    assert outcome.result["amount"] == "999999999999.99"
    assert len(server.received) == len(failures) + 1
    first = server.received[0]
    assert first["amount"] == "999999999999.99"
    assert len(first["idempotency_key"]) >= 32
    assert all(sent == first for sent in server.received)
    assert len(set(server.request_ids)) == 1
    assert server.moments[-1] - server.moments[0] >= seconds * 0.99  # at least the backoff


def test_every_mutating_call_has_its_own_key_unless_it_is_given_one(
    patient_client: Runner, server: Failing
) -> None:
    server.play([_CHARGED])
    for key in (None, None, "order-1"):
        assert _charge(patient_client, key).result is not None
    first, second, own = (sent["idempotency_key"] for sent in server.received)
    assert first != second
    assert own == "order-1"
    server.play([_error(500), _READ])
    assert patient_client.call("get_stripe_public_key", {}).result is not None
    assert ["idempotency_key" in sent for sent in server.received] == [False, False]


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (_error(402, "CARD_DECLINED"), "CARD_DECLINED"),
        (_error(401), "INVALID_CREDENTIALS"),
        (_error(400, X_Error_Code="INVALID_JSON"), "INVALID_JSON"),
        (_error(501, "NOT_IMPLEMENTED"), "NOT_IMPLEMENTED"),
        (_error(503, "SERVICE_UNAVAILABLE", Retry_After="40"), "SERVICE_UNAVAILABLE"),
    ],
)
def test_non_retryable_errors_are_not_retried(
    patient_client: Runner, server: Failing, response: Response, code: str
) -> None:
    server.play([response])
    outcome = _charge(patient_client, "order-1")
    assert outcome.error is not None
    assert (outcome.error["code"], outcome.error["http_status"]) == (code, response.status)
    assert (outcome.error["message"], outcome.error["idempotency_key"]) == ("Not now", "order-1")
    assert outcome.error["retry_after"] == (40 if "Retry-After" in response.headers else None)
    assert outcome.error["outcome_is_unknown"] == (response.status >= 500)
    assert len(server.received) == 1
    assert _KEY not in outcome.shown


@pytest.mark.parametrize(
    ("last", "is_unknown"),
    [
        (_error(429, "RATE_LIMITED", Retry_After="40"), True),
        (_error(401), True),
        (_error(402, "CARD_DECLINED"), False),
    ],
)
def test_after_an_attempt_without_response_only_a_final_error_makes_the_outcome_known(
    patient_client: Runner, server: Failing, last: Response, is_unknown: bool
) -> None:
    server.play([DROPPED, last])
    outcome = _charge(patient_client)
    assert outcome.error is not None
    assert outcome.error["http_status"] == last.status
    assert outcome.error["outcome_is_unknown"] == is_unknown


def _assert_key_of_the_request(outcome: Outcome, server: Failing, kind: str) -> int:
    """Check the key in the error, and return how often its request arrived."""
    assert outcome.error is not None
    assert outcome.error["kind"] == kind
    assert outcome.error["outcome_is_unknown"]
    assert _KEY not in outcome.shown
    mine = [
        sent["idempotency_key"]
        for sent, request_id in zip(server.received, server.request_ids, strict=True)
        if request_id == outcome.error["request_id"]
    ]
    assert set(mine) == {outcome.error["idempotency_key"]}
    return len(mine)


@pytest.mark.parametrize(("does", "least"), [(SLOW, 1), (DROPPED, 2)])
def test_a_timeout_has_the_key_of_the_request(
    impatient_client: Runner, server: Failing, does: str, least: int
) -> None:
    server.play([does])
    assert (
        _assert_key_of_the_request(_charge(impatient_client), server, "ConnectionFailed") >= least
    )


def test_a_call_that_found_no_connection_was_not_sent(client: str, built: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen: connections are refused
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        with running(client, url, "BUS-1", _KEY, built, timeout_seconds=1.0) as runner:
            error = _charge(runner, "order-1").error
    assert error is not None
    assert (error["kind"], error["idempotency_key"]) == ("ConnectionFailed", "order-1")
    assert (error["was_sent"], error["outcome_is_unknown"]) == (False, False)


@pytest.mark.parametrize("does", [SLOW_HEAD, SLOW_BODY])
def test_a_response_that_arrives_byte_by_byte_does_not_extend_the_timeout(
    impatient_client: Runner, server: Failing, does: str
) -> None:
    server.play([does])
    error = _charge(impatient_client).error
    assert error is not None
    assert (error["kind"], error["was_sent"]) == ("ConnectionFailed", True)


def test_a_call_is_repeated_with_the_key_of_its_error(
    impatient_client: Runner, server: Failing
) -> None:
    server.play([SLOW])
    error = _charge(impatient_client).error
    assert error is not None
    server.play([_CHARGED])
    assert _charge(impatient_client, error["idempotency_key"]).result is not None
    assert server.received[0]["idempotency_key"] == error["idempotency_key"]


def test_a_result_has_the_id_of_its_request(patient_client: Runner, server: Failing) -> None:
    for headers, expected in (({}, None), ({"X-Request-Id": "req-7"}, "req-7")):
        server.play([Response(_CHARGED.status, _CHARGED.body, headers)])
        result = _charge(patient_client).result
        assert result is not None
        assert result["request_id"] == (expected or server.request_ids[0])


@pytest.mark.parametrize(
    ("sent", "currency", "amount"),
    [
        ("25.5", "usd", "25.50"),
        ("25", "usd", "25.00"),
        ("25", "jpy", "25"),
        ("1.5", "kwd", "1.500"),
        ("-0.5", "usd", "-0.50"),
        ("1.12345", "usd", "1.12345"),
        ("7", "new", "7.00"),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(
    patient_client: Runner, server: Failing, sent: str, currency: str, amount: str
) -> None:
    body = _CHARGED.body.replace("999999999999.99", sent).replace("usd", currency)
    server.play([Response(200, body)])
    result = _charge(patient_client).result
    assert result is not None
    assert result["amount"] == amount


def test_no_proxy_is_asked_for_this_machine(
    client: str, server: Failing, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for name in ("http_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{closed.getsockname()[1]}")
        server.play([_CHARGED])
        with running(client, server.url, "BUS-1", _KEY, built) as runner:
            assert _charge(runner).result is not None


@pytest.mark.parametrize("client", CLIENTS_TO_RUN[:-1], scope="module")  # Node's asks no proxy
def test_the_proxy_of_the_environment_is_asked_for_other_machines(
    client: str, server: Failing, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("CLIENT_ALLOW_PLAIN_HTTP", "1")
    server.play([_CHARGED])
    with running(client, "http://payments.invalid/", "BUS-1", _KEY, built) as runner:
        assert _charge(runner).result is not None
    assert len(server.received) == 1


@pytest.mark.parametrize("does", [SLOW, DROPPED])
def test_a_call_whose_connection_broke_may_have_been_sent(
    impatient_client: Runner, server: Failing, does: str
) -> None:
    server.play([does])
    error = _charge(impatient_client).error
    assert error is not None
    assert (error["was_sent"], error["outcome_is_unknown"]) == (True, True)


@pytest.mark.parametrize(
    "response",
    [
        Response(200, "<html>Welcome</html>"),
        Response(200, '{"success":true}'),
        Response(302, "", {"Location": "/elsewhere"}),
    ],
    ids=["no JSON", "fields missing", "a redirect"],
)
def test_a_response_that_is_not_from_the_api_is_not_retried(
    patient_client: Runner, server: Failing, response: Response
) -> None:
    server.play([response])
    assert _assert_key_of_the_request(_charge(patient_client), server, "UnexpectedResponse") == 1
