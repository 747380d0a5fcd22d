"""Writes the reference as OpenAPI 3.1: one operation, discriminated by `action`."""

import json
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from portal.reference.model import (
    Action,
    Field,
    Kind,
    Limits,
    Reference,
)
from rpc.catalogue import IDEMPOTENCY_KEY
from transcoding.actions import ACTION_KEY
from transcoding.envelope import IDEMPOTENCY_HEADER
from transcoding.json_responses import METHOD_NOT_ALLOWED
from transcoding.money import AMOUNT_PATTERN, CURRENCY_PATTERN, MAX_INTEGER_DIGITS
from transcoding.responses import SUCCESS_KEY

OPENAPI_VERSION = "3.1.1"
_Schema = dict[str, Any]
_RESPONSE_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$"
_ABOUT = (
    "Every request is a POST of one JSON object to one URL. `action` is the name of the action and "
    "determines the other fields and the response. In the schema of a request, `x-response` is the "
    "schema of its response, `x-errors` lists its error codes, and `x-scope` is the scope that its "
    "API key needs.\n\n"
)
STATUS_PHRASES = {
    400: "The request is malformed. `fields` lists the invalid fields.",
    401: "The credentials are invalid.",
    402: "The payment was declined, needs authentication, or exceeds the wallet's balance.",
    403: "The business is not allowed to call the action.",
    404: "An object in the request does not exist.",
    408: "The request did not arrive in time.",
    409: "The current state does not allow the action.",
    413: "The request body is too large.",
    422: "The idempotency key was used for a different request.",
    429: "Too many requests, declines or cards.",
    500: "Internal server error.",
    501: "The action is announced but not implemented yet.",
    502: "The gateway rejected the request.",
    503: "Nothing was done. Repeat the same request.",
    504: "The outcome is unknown. Repeat the same request to resume it.",
}
HEADERS = {
    "X-Request-Id": {
        "description": "The id of the request, to quote to support.",
        "schema": {"type": "string"},
    },
    "Idempotency-Replayed": {
        "description": "`true` if this is the stored response of an earlier request with the key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "X-Error-Code": {
        "description": "The code of the error, also if the body has no `code`.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "Seconds to wait before the request is repeated.",
        "schema": {"type": "integer", "minimum": 1},
    },
}
ERROR_TEXTS = {
    "error": "Human-readable message.",
    "details": "Request id to quote to support, for an internal server error.",
    "decline_code": "The gateway's decline code, for a declined card.",
    "transaction_id": "The gateway's id of the payment, if there is one.",
    "payment_id": "Id of the payment, `PAY-…`, if there is one.",
    "client_secret": "Secret for the customer's authentication with the bank.",
    "payment_status": "Status of the payment, which does not allow the action.",
    "refund_id": "Id of the refund, if there is one.",
}
"""Keys of an error whose values are strings, with their descriptions."""


def openapi_text(reference: Reference) -> str:
    """Return the document as JSON."""
    return json.dumps(openapi(reference), indent=1, ensure_ascii=False)


def openapi(reference: Reference) -> dict[str, Any]:
    """Return the document, as `json` writes it."""
    actions = list(reference.actions().values())
    schemas: dict[str, Any] = {"Request": _one_of_the_actions(actions)}
    for action in actions:
        schemas[_request_name(action)] = _request(reference, action)
        schemas[_response_name(action)] = _response(action)
    schemas["Error"] = _error(reference)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "Nivisco Payments",
            "version": version("nivisco"),
            "description": _ABOUT + _conventions(reference),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The host that serves this document."}],
        "security": [],  # the credentials are in the body
        "tags": [{"name": c.name, "description": c.description} for c in reference.categories],
        "paths": {"/": {"post": _operation(reference, actions)}},
        "components": {"schemas": schemas, "headers": HEADERS},
    }


def _conventions(reference: Reference) -> str:
    return "\n\n".join(
        "\n\n".join([f"## {each.title}", *each.paragraphs]) for each in reference.conventions
    )


def _operation(reference: Reference, actions: list[Action]) -> _Schema:
    examples = {
        action.name: {"summary": action.summary, "value": _example(action)}
        for action in actions
        if action.example is not None and action.example.response is not None
    }
    responses = [{"$ref": _ref(_response_name(action))} for action in actions]
    return {
        "operationId": "call",
        "summary": "Calls an action.",
        "parameters": [_key_header(reference)],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": _ref("Request")}, "examples": examples}
            },
        },
        "responses": {
            "200": {
                "description": "The action succeeded.",
                "headers": _headers("X-Request-Id", "Idempotency-Replayed"),
                "content": {"application/json": {"schema": {"anyOf": responses}}},
            },
            **{str(status): _error_responses(reference, status) for status in _statuses(reference)},
        },
    }


def _statuses(reference: Reference) -> list[int]:
    """Return the statuses of errors that a POST can get."""
    found = {error.http_status for error in reference.errors}
    found |= {error.http_status for error in reference.transport_errors}
    return sorted(found - {METHOD_NOT_ALLOWED.status})


def _error_responses(reference: Reference, status: int) -> _Schema:
    reasons = [e for e in reference.errors if e.http_status == status and e.has_code]
    lines = [f"- `{error.reason}`: {error.description}" for error in reasons]
    fixed = [e for e in reference.transport_errors if e.http_status == status]
    lines += [f"- `{error.code}`, only in `X-Error-Code`: {error.when}" for error in fixed]
    schema: _Schema = {"$ref": _ref("Error")}
    if reasons:
        codes = {"code": {"enum": [error.reason for error in reasons]}}
        schema = {"allOf": [schema], "properties": codes}
    return {
        "description": "\n".join([STATUS_PHRASES[status], "", *lines]),
        "headers": _headers("X-Request-Id", "X-Error-Code", "Idempotency-Replayed", "Retry-After"),
        "content": {"application/json": {"schema": schema}},
    }


def _headers(*names: str) -> _Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _error(reference: Reference) -> _Schema:
    problem = {"field": {"type": "string"}, "description": {"type": "string"}}
    return {
        "type": "object",
        "description": "An error. New keys may be added.",
        "required": [SUCCESS_KEY, "error"],
        "properties": {
            SUCCESS_KEY: {"type": "boolean", "const": False},
            "code": {
                "type": "string",
                "description": "Reason for the error. New ones may be added.",
                "examples": [error.reason for error in reference.errors],
            },
            "fields": {
                "type": "array",
                "description": "The invalid fields, each with its problem.",
                "items": {"type": "object", "required": [*problem], "properties": problem},
            },
            **{name: {"type": "string", "description": text} for name, text in ERROR_TEXTS.items()},
        },
    }


def _one_of_the_actions(actions: Iterable[Action]) -> _Schema:
    names = {action.name: _ref(_request_name(action)) for action in actions}
    return {
        "oneOf": [{"$ref": ref} for ref in names.values()],
        "discriminator": {"propertyName": ACTION_KEY, "mapping": names},
    }


def _request(reference: Reference, action: Action) -> _Schema:
    envelope = {field.name: _value(field, is_request=True) for field in reference.envelope}
    envelope[ACTION_KEY] |= {"const": action.name}
    body = _object(action.request, is_request=True)
    required = [field.name for field in reference.envelope] + body.get("required", [])
    schema = {
        "type": "object",
        "title": _request_name(action),
        "description": action.description,
        "x-category": action.category,
        "x-response": _ref(_response_name(action)),
        "x-errors": [error.reason for error in (*action.errors, *action.general_errors)],
        "properties": envelope | body["properties"],
        "required": required,
        "additionalProperties": False,
    }
    if not action.mutates:
        schema["properties"][IDEMPOTENCY_KEY] = _unused_key(reference)
    if action.key_scope:
        schema["x-scope"] = action.key_scope
    if action.admin_only:
        schema["x-admin-only"] = True
    return schema


def _key_header(reference: Reference) -> _Schema:
    return {
        "name": IDEMPOTENCY_HEADER,
        "in": "header",
        "description": f"The same as `{IDEMPOTENCY_KEY}` in the body, which must not differ.",
        "schema": _item(_key_field(reference), is_request=True),
    }


def _unused_key(reference: Reference) -> _Schema:
    """Return the schema of the idempotency key in a read, whose message has no such field."""
    description = "Accepted and not used: reads are safe to repeat."
    return _value(_key_field(reference), is_request=True) | {"description": description}


def _key_field(reference: Reference) -> Field:
    mutating = next(action for action in reference.actions().values() if action.mutates)
    return next(field for field in mutating.request if field.name == IDEMPOTENCY_KEY)


def _response(action: Action) -> _Schema:
    body = _object(action.response, is_request=False)
    success = {SUCCESS_KEY: {"type": "boolean", "const": True}}
    return {
        "type": "object",
        "title": _response_name(action),
        "description": f"Response of `{action.name}`. New keys may be added.",
        "properties": success | body["properties"],
        "required": [SUCCESS_KEY, *body.get("required", [])],
    }


def _object(fields: Iterable[Field], *, is_request: bool) -> _Schema:
    listed = list(fields)
    schema: _Schema = {
        "type": "object",
        "properties": {field.name: _value(field, is_request=is_request) for field in listed},
    }
    # A response contains every key; unset values are null.
    required = [field.name for field in listed if field.required or not is_request]
    if required:
        schema["required"] = required
    if is_request:
        schema["additionalProperties"] = False
    return schema


def _value(field: Field, *, is_request: bool) -> _Schema:
    item = _item(field, is_request=is_request)
    if field.repeated:
        item = {"type": "array", "items": item}
    if field.nullable:
        item = _or_null(item)
    return item | {"description": field.description}


def _item(field: Field, *, is_request: bool) -> _Schema:
    if field.kind is Kind.OBJECT:
        return _object(field.fields, is_request=is_request)
    if field.kind is Kind.WORD:
        return {"type": "string", "enum": [word.word for word in field.words]}
    if field.kind is Kind.AMOUNT:
        return _amount() if is_request else {"type": "number"}
    if field.kind is Kind.CURRENCY:
        return {"type": "string", "pattern": CURRENCY_PATTERN if is_request else "^[a-z]{3}$"}
    if field.kind is Kind.TIME:
        return _time(is_request=is_request)
    if field.kind is Kind.MAP:
        return _map(field.limits)
    return {"type": field.kind.value} | field_limits(field.limits)


def _map(limits: Limits) -> _Schema:
    """Return the schema of an object of strings."""
    values: _Schema = {"type": "string"} | (field_limits(limits.values) if limits.values else {})
    schema: _Schema = {"type": "object", "additionalProperties": values}
    if limits.max_pairs is not None:
        schema["maxProperties"] = limits.max_pairs
    if limits.keys:
        schema["propertyNames"] = field_limits(limits.keys)
    return schema


def field_limits(limits: Limits) -> dict[str, Any]:
    """Return the limits of a string or an integer as keywords of a schema."""
    rules = {
        "minimum": limits.minimum,
        "maximum": limits.maximum,
        "minLength": limits.min_length,
        "maxLength": limits.max_length,
        "pattern": limits.pattern,
        "format": "email" if limits.email else None,
    }
    return {k: v for k, v in rules.items() if v is not None}


def _amount() -> _Schema:
    return {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10**MAX_INTEGER_DIGITS},
            {"type": "string", "pattern": AMOUNT_PATTERN},
        ],
        "examples": ["25.50"],
    }


def _time(*, is_request: bool) -> _Schema:
    if is_request:
        return {"type": "string", "examples": ["2024-03-01", "2024-03-01T08:00:00Z"]}
    return {"type": "string", "pattern": _RESPONSE_TIME, "examples": ["2024-03-01 08:00:00"]}


def _or_null(schema: _Schema) -> _Schema:
    if "enum" in schema:
        return schema | {"type": [schema["type"], "null"], "enum": [*schema["enum"], None]}
    return schema | {"type": [schema["type"], "null"]}


def _example(action: Action) -> _Schema:
    assert action.example is not None, "the caller has checked it"
    fields: _Schema = json.loads(action.example.request)
    credentials = {"business_id": "BUS-12345", "api_key": "0" * 64, ACTION_KEY: action.name}
    return credentials | fields


def _request_name(action: Action) -> str:
    return f"{_pascal(action.name)}Request"


def _response_name(action: Action) -> str:
    return f"{_pascal(action.name)}Response"


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _ref(name: str) -> str:
    return f"#/components/schemas/{name}"
