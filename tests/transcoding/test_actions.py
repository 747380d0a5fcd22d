"""The actions are those of the schema and of the reviewed golden file."""

import pytest

from nivisco.payments.v1 import authentication_pb2, errors_pb2
from rpc.catalogue import action_name
from tests.transcoding.golden import COMMAND, GOLDEN, render
from transcoding.actions import build_catalogue
from transcoding.json_responses import HTTP_STATUS

CATALOGUE = build_catalogue()


def test_the_actions_are_those_of_the_golden_file() -> None:
    assert render() == GOLDEN.read_text(), f"Review the change, then: {COMMAND}"


def test_only_register_business_is_admin_only() -> None:
    assert [a.name for a in CATALOGUE.values() if a.admin_only] == ["register_business"]


def test_only_reads_have_no_idempotency_key() -> None:
    reads = {a.name for a in CATALOGUE.values() if not a.mutates}
    assert all(name.startswith(("get_", "list_", "validate_")) for name in reads)


def test_an_action_has_its_grpc_method() -> None:
    service = authentication_pb2.DESCRIPTOR.services_by_name["AuthenticationService"]
    assert CATALOGUE["validate_business"].method is service.methods_by_name["ValidateBusiness"]


@pytest.mark.parametrize(
    ("method", "action"),
    [("ChangeApiKey", "change_api_key"), ("GetStripePublicKey", "get_stripe_public_key")],
)
def test_the_name_of_an_action_is_its_method_in_snake_case(method: str, action: str) -> None:
    assert action_name(method) == action


def test_every_reason_has_an_http_status() -> None:
    assert len(HTTP_STATUS) == len(errors_pb2.ErrorReason.DESCRIPTOR.values) - 1
    assert all(400 <= status <= 599 for status in HTTP_STATUS.values())


@pytest.mark.parametrize(
    ("action", "path", "json_path"),
    [
        ("charge_customer", "amount.currency_code", "currency"),
        ("charge_customer", "amount.units", "amount"),
        ("charge_customer", "amount.nanos", "amount"),
        ("charge_customer", "amount", "amount"),
        ("charge_customer", "user_id", "user_id"),
        ("charge_customer", "", ""),
        ("create_user", "user.currency", "user.currency"),
        ("get_all_users", "to_date.seconds", "to_date"),
    ],
)
def test_a_path_in_the_message_becomes_a_path_in_json(
    action: str, path: str, json_path: str
) -> None:
    assert CATALOGUE[action].json_path(path) == json_path
