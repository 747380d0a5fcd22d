import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import grpc_testing  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner, Result
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from google.type import money_pb2

from cli.call import _request_message, call, print_call
from cli.main import main
from cli.payload import build_payload
from nivisco.payments.v1 import payments_pb2
from portal.reference.fields import request_fields
from rpc.metadata import STATUS_DETAILS_METADATA, Credentials
from tests.cli.conftest import Endpoint
from transcoding.actions import build_catalogue

_CATALOGUE = build_catalogue()
_CREDENTIALS = Credentials("BUS-1", "sesame")


def _run(*arguments: str, url: str = "http://127.0.0.1:1/", **variables: str) -> Result:
    environment = {
        "NIVISCO_URL": url,
        "NIVISCO_BUSINESS_ID": "BUS-1",
        "NIVISCO_API_KEY": "sesame",
        "NIVISCO_CORE": "127.0.0.1:1",
    }
    return CliRunner().invoke(main, ["call", *arguments], env=environment | variables)


def _url(endpoint: Endpoint) -> str:
    return f"http://127.0.0.1:{endpoint.server_port}/"


def test_one_envelope_is_sent_with_numbers_as_written(endpoint: Endpoint) -> None:
    result = _run("charge_customer", "user_id=USR-1", "amount=25.50", url=_url(endpoint))
    assert result.exit_code == 0, result.output
    assert endpoint.received == (
        b'{"business_id": "BUS-1", "api_key": "sesame", "action": "charge_customer", '
        b'"user_id": "USR-1", "amount": 25.50}'
    )


def test_numbers_of_the_response_are_printed_as_received(endpoint: Endpoint) -> None:
    endpoint.answer = b'{"success":true,"amount":100000000000.10,"user":{"name":"Zo\\u00eb"}}'
    result = _run("validate_business", url=_url(endpoint))
    assert result.stdout == (
        '{\n  "success": true,\n  "amount": 100000000000.10,\n  "user": {\n    "name": "Zoë"\n'
        "  }\n}\n"
    )


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (401, b'{"success":false,"error":"Invalid business credentials"}'),
        (200, b'{"success":false}'),
        (502, b"<html>"),
        (200, b"[]"),
    ],
)
def test_an_error_response_is_exit_code_1(endpoint: Endpoint, status: int, answer: bytes) -> None:
    endpoint.status, endpoint.answer = status, answer
    result = _run("validate_business", url=_url(endpoint))
    assert result.exit_code == 1
    assert f"HTTP {status}" in result.stderr


def test_without_a_response_it_says_what_to_start() -> None:
    result = _run("validate_business")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Is `nivisco up` running there? --url names another." in result.stderr


def test_a_timeout_says_that_the_outcome_is_unknown(endpoint: Endpoint) -> None:
    endpoint.shutdown()  # connections are still accepted, by the kernel
    result = _run("validate_business", "--timeout", "0.1", url=_url(endpoint))
    assert result.exit_code == 1
    assert "in 0.1 s, so the outcome is unknown" in result.stderr


def test_a_connection_that_breaks_after_the_request_leaves_the_outcome_unknown(
    endpoint: Endpoint,
) -> None:
    endpoint.breaks = True
    result = _run("charge_customer", "user_id=USR-1", "amount=1", url=_url(endpoint))
    assert result.exit_code == 1
    assert endpoint.received
    assert "(RemoteDisconnected), so the outcome is unknown. Retry with the same" in result.stderr
    assert "running there" not in result.stderr


def test_no_output_shows_the_key(endpoint: Endpoint) -> None:
    for arguments in (["validate_business"], ["validate_business", "x=1"], ["nothing"]):
        for url in (_url(endpoint), "http://127.0.0.1:1/", "nowhere"):
            assert "sesame" not in _run(*arguments, url=url).output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Which action?"),
        (["create_usr"], "There is no action create_usr; did you mean `create_user`?"),
        (["create_usr"], "Wallet\n  get_user_wallet"),
        (["validate_business", "--url", "http://192.0.2.1/"], "plain http to another machine"),
        (["create_user", "name=A"], "did you mean `user.name`?"),
        (["charge_customer", "amount=ten", "--grpc"], "amount must be a number"),
        (
            ["charge_customer", "amount=0", "--grpc"],
            "The payload does not fit charge_customer:\n  amount must be",
        ),
        (["charge_customer", "--core", "nowhere"], "'nowhere' is not an address of cores"),
        (["validate_business", "--url", "ftp://x/"], "--url: 'ftp://x/' is not an http(s) address"),
        (["validate_business", "--url", "http://x:port/"], "--url: "),
    ],
)
def test_a_wrong_argument_is_exit_code_2_with_a_sentence(
    arguments: list[str], sentence: str
) -> None:
    result = _run(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_actions_are_listed_by_category() -> None:
    result = _run("--list")
    assert result.exit_code == 0
    assert "Users\n  validate_user\n  get_user_info\n" in result.stdout
    listed = [line.strip() for line in result.stdout.splitlines() if line.startswith(" ")]
    assert sorted(listed) == sorted(build_catalogue())


def test_the_fields_of_an_action_are_listed() -> None:
    result = _run("create_user", "--fields")
    assert result.stdout.splitlines() == [
        "user.name  text",
        "user.email  text",
        "user.currency  text",
        "user.metadata  texts by their keys",
        "idempotency_key  text",
    ]


def test_a_payload_may_come_from_a_file(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"anything": [1.10]}')
    _run("validate_business", f"@{tmp_path}/p.json", url=_url(endpoint))
    assert json.loads(endpoint.received)["anything"] == [1.1]
    assert b"1.10" in endpoint.received


class _Core:
    """grpcio's testing channel in place of the core, and the command that calls it."""

    def __init__(self) -> None:
        self._channel = grpc_testing.channel(
            payments_pb2.DESCRIPTOR.services_by_name.values(),
            grpc_testing.strict_fake_time(time.time()),
        )
        self._pool = ThreadPoolExecutor(1)

    def call(self, name: str, *arguments: str) -> "Future[bool]":
        action = _CATALOGUE[name]
        payload = build_payload(arguments, request_fields(action.method.input_type))
        request = _request_message(action, payload)
        return self._pool.submit(print_call, self._channel, action, request, _CREDENTIALS, 30.0)

    def take(self, name: str) -> tuple[dict[str, Any], Any, Any]:
        metadata, request, rpc = self._channel.take_unary_unary(_CATALOGUE[name].method)
        return dict(metadata), request, rpc

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def core() -> Iterator[_Core]:
    made = _Core()
    yield made
    made.close()


def test_grpc_sends_the_same_message_as_the_json_endpoint(core: _Core) -> None:
    called = core.call(
        "charge_customer", "user_id=USR-1", "amount=25.50", "currency=usd", "env=live"
    )
    metadata, request, rpc = core.take("charge_customer")
    assert metadata["x-business-id"] == "BUS-1"
    assert metadata["x-api-key"] == "sesame"
    assert request == payments_pb2.ChargeCustomerRequest(
        user_id="USR-1",
        amount=money_pb2.Money(currency_code="USD", units=25, nanos=500_000_000),
        env="ENV_LIVE",  # type: ignore[arg-type]  # protobuf takes names too
    )
    rpc.terminate(payments_pb2.ChargeCustomerResponse(), (), grpc.StatusCode.OK, "")
    assert called.result(10)


def test_grpc_prints_the_response_with_the_field_names_of_the_schema(
    core: _Core, capsys: pytest.CaptureFixture[str]
) -> None:
    called = core.call("get_payment_records")
    _, _, rpc = core.take("get_payment_records")
    rpc.terminate(payments_pb2.GetPaymentRecordsResponse(total=3), (), grpc.StatusCode.OK, "")
    assert called.result(10)
    assert json.loads(capsys.readouterr().out) == {
        "count": 0,
        "total": 3,
        "payments": [],
        "total_is_estimate": False,
    }


def test_grpc_prints_a_refusal_with_its_reason_and_fields(
    core: _Core, capsys: pytest.CaptureFixture[str]
) -> None:
    called = core.call("charge_customer", "user_id=USR-1", "amount=1")
    _, _, rpc = core.take("charge_customer")
    details: list[any_pb2.Any] = []
    for message in (
        error_details_pb2.ErrorInfo(reason="CARD_DECLINED", metadata={"decline_code": "lost"}),
        error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(field="amount", description="bad")
            ]
        ),
    ):
        packed = any_pb2.Any()
        packed.Pack(message)
        details.append(packed)
    status = status_pb2.Status(code=9, message="The card was declined.", details=details)
    trailing = ((STATUS_DETAILS_METADATA, status.SerializeToString()),)
    rpc.terminate(None, trailing, grpc.StatusCode.FAILED_PRECONDITION, "The card was declined.")
    assert not called.result(10)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {
        "success": False,
        "error": "The card was declined.",
        "code": "CARD_DECLINED",
        "decline_code": "lost",
        "fields": [{"field": "amount", "description": "bad"}],
    }
    assert printed.err == "gRPC FAILED_PRECONDITION\n"


def test_grpc_without_a_core_is_an_error_response_too() -> None:
    result = _run("validate_business", "--grpc", "--timeout", "5")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["code"] == "SERVICE_UNAVAILABLE"


def test_grpc_rejects_credentials_that_it_cannot_send() -> None:
    result = _run("validate_business", "--grpc", NIVISCO_API_KEY="sésame")
    assert result.exit_code == 2
    assert "characters" in result.stderr


def test_the_api_key_is_not_an_option() -> None:
    assert not [p for p in call.params if "api_key" in (p.name or "") or "key" in str(p.opts)]


def test_a_list_may_be_a_table_with_what_is_beside_it_below(endpoint: Endpoint) -> None:
    endpoint.answer = b"""{"success": true, "total": 2, "next_cursor": null, "users": [
        {"user_id": "USR-1", "name": "Zo\\u00eb", "wallet": {"balance": 2.50}, "left": null},
        {"user_id": "USR-22", "name": "a\\nb", "wallet": null, "left": null}]}"""
    result = _run("get_all_users", "-o", "table", url=_url(endpoint))
    assert result.stdout.splitlines() == [
        "user_id  name    wallet.balance",
        "USR-1    Zoë     2.50",
        'USR-22   "a\\nb"',
        "",
        "total  2",
    ]


def test_one_resource_as_a_table_is_a_line_for_each_field(endpoint: Endpoint) -> None:
    endpoint.answer = b'{"success": true, "wallet": {"balance": 0.10, "frozen": false}}'
    result = _run("get_user_wallet", "user_id=USR-1", "-o", "table", url=_url(endpoint))
    assert result.stdout == "wallet.balance  0.10\nwallet.frozen   false\n"


def test_an_error_is_json_also_where_a_table_was_wanted(endpoint: Endpoint) -> None:
    endpoint.status, endpoint.answer = 404, b'{"success": false, "error": "No such user"}'
    result = _run("get_user_wallet", "user_id=USR-1", "-o", "table", url=_url(endpoint))
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == "No such user"
