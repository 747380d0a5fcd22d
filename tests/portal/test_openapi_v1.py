"""The OpenAPI document for generators is valid, agrees with the reference, and has no traps."""

import builtins
import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import validate

from portal.reference.build import reference
from portal.reference.model import Action, TransportError
from portal.reference.openapi_v1 import example_request, openapi_v1, openapi_v1_text
from rpc.error_details import FieldProblem
from transcoding.json_responses import METHOD_NOT_ALLOWED, invalid_fields

DOCUMENT = openapi_v1(reference())
TEXT = openapi_v1_text(reference())
SCHEMAS = DOCUMENT["components"]["schemas"]
ACTIONS = reference().actions()
EACH_ACTION = pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.name)


def as_json_schema(schema: Any) -> Any:
    """Return the schema with `nullable` as JSON Schema says it."""
    if isinstance(schema, list):
        return [as_json_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: as_json_schema(each) for name, each in schema.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") is True else plain


JSON_SCHEMAS = as_json_schema(SCHEMAS)


def operation(action: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][f"/v1/{action}"]["post"]
    return found


def problems(name: str, value: object) -> list[str]:
    return [error.message for error in validator(name).iter_errors(value)]


@cache
def validator(name: str) -> Draft202012Validator:
    rooted = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": JSON_SCHEMAS}}
    return Draft202012Validator(rooted)


def schema_name(content: dict[str, Any]) -> str:
    reference_to: str = content["content"]["application/json"]["schema"]["$ref"]
    return reference_to.rpartition("/")[2]


def inner_schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema and those within, also behind a `$ref`."""
    if isinstance(schema, list):
        for each in schema:
            yield from inner_schemas(each)
    elif isinstance(schema, dict):
        yield schema
        if "$ref" in schema:
            yield from inner_schemas(SCHEMAS[schema["$ref"].rpartition("/")[2]])
        for name in ("allOf", "items"):
            yield from inner_schemas(schema.get(name))
        for each in schema.get("properties", {}).values():
            yield from inner_schemas(each)


def test_the_document_is_valid() -> None:
    validate(json.loads(TEXT))


def test_every_action_is_one_operation_with_basic_credentials() -> None:
    assert list(DOCUMENT["paths"]) == [f"/v1/{name}" for name in ACTIONS]
    for name, action in ACTIONS.items():
        assert list(DOCUMENT["paths"][f"/v1/{name}"]) == ["post"]
        assert (operation(name)["operationId"], operation(name)["tags"]) == (
            name,
            [action.category],
        )
    assert DOCUMENT["security"] == [{"basic": []}]
    assert DOCUMENT["components"]["securitySchemes"]["basic"]["scheme"] == "basic"


@EACH_ACTION
def test_examples_match_their_schemas(action: Action) -> None:
    body, answer = operation(action.name)["requestBody"], operation(action.name)["responses"]["200"]
    assert action.example is not None
    assert problems(schema_name(body), example_request(action)) == []
    assert body["content"]["application/json"]["example"] == example_request(action)
    if action.example.response is not None:
        assert problems(schema_name(answer), json.loads(action.example.response)) == []


@EACH_ACTION
def test_a_newer_server_s_response_still_fits_the_schema(action: Action) -> None:
    name = schema_name(operation(action.name)["responses"]["200"])
    for schema in inner_schemas(SCHEMAS[name]):
        assert not {"enum", "pattern", "format", "minimum", "maximum"} & {*schema} - {"format"}
        assert schema.get("format") in (None, "int64", "double")
        assert schema.get("additionalProperties") is not False


def test_nothing_that_generators_misunderstand_is_used() -> None:
    for keyword in ("oneOf", "anyOf", "const", "propertyNames"):
        assert f'"{keyword}":' not in TEXT
    assert '"type": [' not in TEXT


def test_a_generated_class_does_not_shadow_one_of_python() -> None:
    assert [name for name in SCHEMAS if hasattr(builtins, name)] == []


def test_every_component_is_used() -> None:
    for kind in ("schemas", "responses", "headers"):
        for name in DOCUMENT["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in TEXT, name


def test_resources_are_named_once() -> None:
    payment = {"$ref": "#/components/schemas/Payment"}
    records = SCHEMAS["GetPaymentRecordsResponse"]["properties"]["payments"]
    assert records["items"] == payment
    assert SCHEMAS["GetPaymentResponse"]["properties"]["payment"]["allOf"] == [payment]


@pytest.mark.parametrize(
    ("amount", "is_valid"), [("25.50", True), ("0.001", True), (25.5, False), ("1e3", False)]
)
def test_an_amount_in_a_request_is_a_decimal_string(amount: object, is_valid: bool) -> None:
    value = {"user_id": "USR-1", "amount": amount}
    assert (problems("ChargeCustomerRequest", value) == []) is is_valid


@pytest.mark.parametrize(
    ("fields", "is_valid"),
    [
        ({"description": None}, True),
        ({"env": "TEST"}, False),
        ({"max_cycles": 0}, False),
        ({"max_cycles": 3, "metadata": {"order_id": "6735"}}, True),
        ({"amout": "1"}, False),
    ],
)
def test_a_request_is_valid_if_the_service_accepts_it(
    fields: dict[str, object], is_valid: bool
) -> None:
    assert (
        problems("UpdateRecurringRequest", {"recurring_id": "REC-1"} | fields) == []
    ) is is_valid


@pytest.mark.parametrize(
    "error", reference().transport_errors, ids=lambda error: f"{error.http_status}-{error.code}"
)
def test_every_action_has_the_errors_with_a_fixed_body(error: TransportError) -> None:
    if error.http_status == METHOD_NOT_ALLOWED.status:
        return
    name = response_name(operation("get_user_info")["responses"][str(error.http_status)])
    assert problems(name, json.loads(error.body)) == []
    assert f"`{error.code}`" in DOCUMENT["components"]["responses"][name]["description"]


def response_name(answer: dict[str, str]) -> str:
    return answer["$ref"].rpartition("/")[2]


@EACH_ACTION
def test_every_error_of_an_action_has_its_status_and_code(action: Action) -> None:
    for error in (*action.errors, *action.general_errors):
        name = response_name(operation(action.name)["responses"][str(error.http_status)])
        if error.has_code:
            assert error.reason in SCHEMAS[name]["properties"]["code"]["x-extensible-enum"]
            assert f"`{error.reason}`" in operation(action.name)["description"]
        if error.example and error.example.response:
            assert problems(name, json.loads(error.example.response)) == []


def test_invalid_fields_are_listed() -> None:
    body = json.loads(invalid_fields([FieldProblem("user_id", "is required")]).body)
    assert problems("BadRequestError", body) == []
    assert problems("BadRequestError", body | {"fields": [{"field": "user_id"}]}) != []
