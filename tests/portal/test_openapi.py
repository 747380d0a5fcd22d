"""The OpenAPI document is valid and agrees with the reference."""

import json
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import validate

from portal.reference.build import reference
from portal.reference.model import Action
from portal.reference.openapi import openapi, openapi_text
from rpc.error_details import FieldProblem
from transcoding.json_responses import METHOD_NOT_ALLOWED, invalid_fields

DOCUMENT = openapi(reference())
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATION = DOCUMENT["paths"]["/"]["post"]
EACH_ACTION = pytest.mark.parametrize(
    "action", reference().actions().values(), ids=lambda action: action.name
)


def problems(schema: dict[str, Any], value: object) -> list[str]:
    rooted = schema | {"components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(rooted).iter_errors(value)]


def request(action: str, **fields: object) -> dict[str, object]:
    return {"business_id": "BUS-12345", "api_key": "a" * 64, "action": action, **fields}


def schema_of(action: str) -> dict[str, Any]:
    mapping = SCHEMAS["Request"]["discriminator"]["mapping"]
    return {"$ref": mapping[action]}


def test_the_document_is_valid() -> None:
    validate(json.loads(openapi_text(reference())))


def test_every_action_is_a_variant_of_the_one_request() -> None:
    assert set(SCHEMAS["Request"]["discriminator"]["mapping"]) == set(reference().actions())
    assert list(DOCUMENT["paths"]) == ["/"]
    assert list(DOCUMENT["paths"]["/"]) == ["post"]


@EACH_ACTION
def test_an_example_matches_only_its_own_schema(action: Action) -> None:
    assert action.example is not None
    value = request(action.name, **json.loads(action.example.request))
    assert problems(schema_of(action.name), value) == []
    assert problems({"$ref": "#/components/schemas/Request"}, value) == []
    if action.example.response is not None:
        response = SCHEMAS[schema_of(action.name)["$ref"].rpartition("/")[2]]["x-response"]
        assert problems({"$ref": response}, json.loads(action.example.response)) == []


@pytest.mark.parametrize(
    ("fields", "is_valid"),
    [
        ({"user_id": "USR-1", "amount": 25.5}, True),
        ({"user_id": "USR-1", "amount": "25.50", "currency": "usd"}, True),
        ({"user_id": "USR-1", "amount": 25.5, "env": "TEST", "gateway": "stripe"}, True),
        ({"user_id": "USR-1", "amount": 25.5, "metadata": {"order id": "6735"}}, True),
        ({"user_id": "USR-1", "amount": 25.5, "metadata": {"order_id": 6735}}, False),
        ({"user_id": "USR-1", "amount": 25.5, "metadata": {"order[id]": "6735"}}, False),
        ({"user_id": "USR-1", "amount": 25.5, "metadata": {"order_id": ""}}, False),
        ({"user_id": "USR-1", "amount": 25.5, "metadata": {str(n): "x" for n in range(21)}}, False),
        ({"user_id": "USR-1"}, False),
        ({"user_id": "USR-1", "amount": 0}, False),
        ({"user_id": "USR-1", "amount": "1e3"}, False),
        ({"user_id": "USR-1", "amount": 25.5, "env": "test"}, False),
        ({"user_id": "USR-1", "amount": 25.5, "currency": "dollars"}, False),
        ({"user_id": "a b", "amount": 25.5}, False),
        ({"user_id": "USR-1", "amount": 25.5, "amout": 1}, False),
        ({"user_id": "USR-1", "amount": 25.5, "description": "x" * 501}, False),
    ],
)
def test_a_request_is_valid_if_the_service_accepts_it(
    fields: dict[str, object], is_valid: bool
) -> None:
    assert (problems(schema_of("charge_customer"), request("charge_customer", **fields)) == []) is (
        is_valid
    )


def test_a_read_may_carry_an_idempotency_key() -> None:
    assert problems(schema_of("get_all_users"), request("get_all_users", idempotency_key="k")) == []


def test_the_idempotency_key_header_has_the_schema_of_the_field() -> None:
    [header] = OPERATION["parameters"]
    assert (header["name"], header["in"]) == ("Idempotency-Key", "header")
    field = SCHEMAS["ChargeCustomerRequest"]["properties"]["idempotency_key"]
    assert field == header["schema"] | {"description": field["description"]}


def test_errors_match_the_error_schema() -> None:
    for response in (METHOD_NOT_ALLOWED, invalid_fields([FieldProblem("user_id", "is required")])):
        assert problems({"$ref": "#/components/schemas/Error"}, json.loads(response.body)) == []


def test_errors_have_their_code_in_a_header() -> None:
    errors = [
        OPERATION["responses"][status] for status in OPERATION["responses"] if status != "200"
    ]
    assert all("X-Error-Code" in error["headers"] for error in errors)
    assert "`INVALID_JSON`, only in `X-Error-Code`" in OPERATION["responses"]["400"]["description"]


def test_every_status_of_an_error_is_documented() -> None:
    statuses = {str(error.http_status) for error in reference().errors}
    assert set(OPERATION["responses"]) == {"200", "408", *statuses}
