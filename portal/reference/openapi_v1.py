"""Writes the reference as OpenAPI 3.0 for code generators: one operation for each action.

What generators make nonsense of is not in it (docs/decisions/0066): no `oneOf`, no `const`, no list
of types. Responses are described loosely, because a client that rejects a new word of an enum
raises after the card was charged.
"""

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from portal.comments import comments
from portal.reference.model import Action, Field, Kind, Limits, Reference
from portal.reference.openapi import ERROR_TEXTS, HEADERS, STATUS_PHRASES, field_limits
from transcoding import exact_json
from transcoding.actions import ACTIONS_PATH
from transcoding.json_responses import METHOD_NOT_ALLOWED
from transcoding.money import AMOUNT_PATTERN, CURRENCY_PATTERN
from transcoding.responses import SUCCESS_KEY

OPENAPI_VERSION = "3.0.3"
"""Generators support 3.1 less well."""
_Schema = dict[str, Any]
_JSON = "application/json"
_ABOUT = (
    "One operation for each action: `POST /v1/{action}` with the fields of the action as a JSON "
    "object, and the business id and API key as user name and password of HTTP Basic. It is "
    "another address of the endpoint that `/openapi.json` describes, with the same responses; as "
    "there, `business_id` and `api_key` may also be in the body. A `POST` to an unknown action is "
    "a 404 `UNKNOWN_PATH`.\n\n"
    "Amounts in requests are decimal strings here, because most generators read a number into a "
    "float. In responses they are numbers, of which a double keeps 15 digits; a longer one, "
    "such as a large sum, is rounded by programs that read it into a double. "
    "Words of enums in responses, and `code`, are strings: new ones may be added.\n\n"
    "The rules of all actions, about idempotency keys, retries, dates and lists, are at `/docs`."
)
"""Short, because generators repeat it in every file."""
_ERROR_NAMES: Mapping[int, str] = {
    400: "BadRequest",
    401: "Unauthorized",
    402: "PaymentRequired",
    403: "Forbidden",
    404: "NotFound",
    408: "RequestTimeout",
    409: "Conflict",
    413: "BodyTooLarge",
    422: "UnprocessableRequest",
    429: "TooManyRequests",
    500: "InternalServer",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "OutcomeUnknown",
}
_ERROR_KEYS: Mapping[int, tuple[str, ...]] = {
    402: ("decline_code", "transaction_id", "payment_id", "client_secret"),
    409: ("payment_id", "payment_status", "refund_id"),
    500: ("details",),
    504: ("payment_id", "refund_id"),
}
"""Keys that errors of a status may have beside `code`."""


def openapi_v1_text(reference: Reference) -> str:
    """Return the document as JSON."""
    return json.dumps(openapi_v1(reference), indent=1, ensure_ascii=False)


def openapi_v1(reference: Reference) -> dict[str, Any]:
    """Return the document, as `json` writes it."""
    actions = reference.actions()
    statuses = sorted(
        {status for each in actions.values() for status in _statuses(reference, each)}
    )
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "Nivisco Payments",
            "version": version("nivisco"),
            "description": _ABOUT,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "servers": [{"url": "/", "description": "The host that serves this document."}],
        "security": [{"basic": []}],
        "tags": [{"name": c.name, "description": c.description} for c in reference.categories],
        "paths": {
            ACTIONS_PATH + name: {"post": _operation(reference, action)}
            for name, action in actions.items()
        },
        "components": {
            "securitySchemes": {
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "User name: the business id. Password: its API key.",
                }
            },
            "headers": HEADERS,
            "responses": {
                _error_name(status): _error_response(reference, status) for status in statuses
            },
            "schemas": _Schemas(actions.values()).found
            | {"FieldProblem": _field_problem()}
            | {_error_name(status): _error(reference, status) for status in statuses},
        },
    }


def _statuses(reference: Reference, action: Action) -> list[int]:
    """Return the statuses of errors that the action can return to a POST."""
    found = {error.http_status for error in (*action.errors, *action.general_errors)}
    found |= {error.http_status for error in reference.transport_errors}
    return sorted(found - {METHOD_NOT_ALLOWED.status})


def _operation(reference: Reference, action: Action) -> _Schema:
    errors = (*action.errors, *action.general_errors)
    codes = ", ".join(f"`{error.reason}`" for error in errors if error.has_code)
    paragraphs = [action.description.removeprefix(action.summary).strip()]
    if action.key_scope:
        paragraphs.append(f"The API key needs the scope `{action.key_scope}`.")
    paragraphs.append(f"Codes of errors: {codes}.")
    operation: _Schema = {
        "operationId": action.name,
        "tags": [action.category],
        "summary": action.summary.removesuffix("."),
        "description": "\n\n".join(filter(None, paragraphs)),
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": _ref(request_name(action))}},
        },
        "responses": {
            "200": {
                "description": "The action succeeded.",
                "headers": _headers("X-Request-Id", "Idempotency-Replayed"),
                "content": {_JSON: {"schema": _ref(response_name(action))}},
            },
            **{
                str(status): {"$ref": f"#/components/responses/{_error_name(status)}"}
                for status in _statuses(reference, action)
            },
        },
    }
    if action.example is not None:
        operation["requestBody"]["content"][_JSON]["example"] = example_request(action)
        if action.example.response is not None:
            answer = operation["responses"]["200"]["content"][_JSON]
            answer["example"] = json.loads(action.example.response)
    return operation


def example_request(action: Action) -> dict[str, Any]:
    """Return the body of the action's example, with amounts as strings.

    Raises:
        ValueError: the action has no example.
    """
    if action.example is None:
        raise ValueError(f"{action.name} has no example")
    return _with_text_amounts(action.request, exact_json.read(action.example.request))


def _with_text_amounts(fields: Iterable[Field], values: Mapping[str, Any]) -> dict[str, Any]:
    known = {field.name: field for field in fields}
    return {name: _example_value(known[name], value) for name, value in values.items()}


def _example_value(field: Field, value: Any) -> Any:
    if isinstance(value, list):
        return [_example_value(field, item) for item in value]
    if field.kind is Kind.AMOUNT:
        return str(value)
    if field.kind is Kind.INTEGER:
        return int(value)
    if field.kind is Kind.OBJECT and value is not None:
        return _with_text_amounts(field.fields, value)
    return value


def _error_response(reference: Reference, status: int) -> _Schema:
    reasons = [e for e in reference.errors if e.http_status == status and e.has_code]
    lines = [f"- `{error.reason}`: {error.description}" for error in reasons]
    fixed = [e for e in reference.transport_errors if e.http_status == status]
    lines += [f"- `{error.code}`, only in `X-Error-Code`: {error.when}" for error in fixed]
    examples = {e.code: {"value": json.loads(e.body)} for e in fixed}
    examples |= {
        error.reason: {"value": json.loads(error.example.response)}
        for error in reasons
        if error.example and error.example.response
    }
    content: _Schema = {"schema": _ref(_error_name(status))}
    if examples:
        content["examples"] = examples
    return {
        "description": "\n".join([STATUS_PHRASES[status], "", *lines]),
        "headers": _headers("X-Request-Id", "X-Error-Code", "Idempotency-Replayed", "Retry-After"),
        "content": {_JSON: content},
    }


def _headers(*names: str) -> _Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _error(reference: Reference, status: int) -> _Schema:
    """Return the schema of the errors of a status, which discriminates them, and then `code`."""
    reasons = [e.reason for e in reference.errors if e.http_status == status and e.has_code]
    properties: _Schema = {
        SUCCESS_KEY: {"type": "boolean", "description": "Always `false`."},
        "error": {"type": "string", "description": ERROR_TEXTS["error"]},
    }
    if reasons:
        properties["code"] = {
            "type": "string",
            "description": "Reason for the error. New ones may be added.",
            "x-extensible-enum": reasons,
        }
    if "INVALID_FIELDS" in reasons:
        properties["fields"] = {
            "type": "array",
            "description": "The invalid fields, each with its problem.",
            "items": _ref("FieldProblem"),
        }
    for key in _ERROR_KEYS.get(status, ()):
        properties[key] = {"type": "string", "description": ERROR_TEXTS[key]}
    return {
        "type": "object",
        "description": f"{STATUS_PHRASES[status]} New keys may be added.",
        "required": [SUCCESS_KEY, "error"],
        "properties": properties,
        "additionalProperties": True,
    }


def _field_problem() -> _Schema:
    return {
        "type": "object",
        "description": "An invalid field of a request.",
        "required": ["field", "description"],
        "properties": {
            "field": {"type": "string", "description": "Path of the field."},
            "description": {"type": "string", "description": "What is wrong with it."},
        },
        "additionalProperties": True,
    }


class _Schemas:
    """The named schemas of the actions' requests, responses, resources and enums."""

    def __init__(self, actions: Iterable[Action]) -> None:
        """Collect the schemas of actions."""
        listed = list(actions)
        self._answered = {field.type_name for each in listed for field in _flattened(each.response)}
        self.found: dict[str, _Schema] = {}
        for action in listed:
            self._add_request(action)
            self._add_response(action)

    def _add_request(self, action: Action) -> None:
        body = self._object(action.request, is_request=True)
        self.found[request_name(action)] = body | {
            "description": f"Fields of `{action.name}`.",
        }

    def _add_response(self, action: Action) -> None:
        body = self._object(action.response, is_request=False)
        success = {SUCCESS_KEY: {"type": "boolean", "description": "Always `true`."}}
        self.found[response_name(action)] = body | {
            "description": f"Response of `{action.name}`. New keys may be added.",
            "required": [SUCCESS_KEY, *body.get("required", [])],
            "properties": success | body["properties"],
        }

    def _object(self, fields: Iterable[Field], *, is_request: bool) -> _Schema:
        listed = list(fields)
        properties = {field.name: self._value(field, is_request=is_request) for field in listed}
        schema: _Schema = {"type": "object", "properties": properties}
        required = [field.name for field in listed if field.required or not is_request]
        if required:
            schema["required"] = required
        return schema | {"additionalProperties": not is_request}

    def _value(self, field: Field, *, is_request: bool) -> _Schema:
        item = self._item(field, is_request=is_request)
        if field.repeated:
            item = {"type": "array", "items": item}
        elif "$ref" in item:
            # What is beside a $ref is ignored, and `nullable` needs a type.
            kind = "object" if field.kind is Kind.OBJECT else "string"
            item = {"type": kind, "allOf": [item]}
        nullable = {"nullable": True} if field.nullable else {}
        return item | nullable | {"description": field.description}

    def _item(self, field: Field, *, is_request: bool) -> _Schema:
        if field.kind is Kind.OBJECT:
            return self._resource(field, is_request=is_request)
        if field.kind is Kind.WORD:
            return self._word(field, is_request=is_request)
        if not is_request:
            return _ANSWERED[field.kind]
        if field.kind is Kind.MAP:
            return _map(field.limits)
        return _ASKED[field.kind] | field_limits(field.limits)

    def _resource(self, field: Field, *, is_request: bool) -> _Schema:
        name = _component(field.type_name)
        if is_request and field.type_name in self._answered:
            name += "Input"
        described = {"description": comments().get(field.type_name, "")}
        schema = self._object(field.fields, is_request=is_request) | described
        assert self.found.setdefault(name, schema) == schema, f"two schemas are named {name}"
        return _ref(name)

    def _word(self, field: Field, *, is_request: bool) -> _Schema:
        words = [word.word for word in field.words]
        if not is_request:
            return {"type": "string", "x-extensible-enum": words}
        name = _component(field.type_name)
        lines = [f"- `{each.word}`: {each.description}" for each in field.words]
        text = "\n".join([comments().get(field.type_name, ""), "", *lines])
        schema = {"type": "string", "enum": words, "description": text}
        assert self.found.setdefault(name, schema) == schema, f"two schemas are named {name}"
        return _ref(name)


def _flattened(fields: Iterable[Field]) -> Iterable[Field]:
    return (inner for field in fields for inner in field.flattened())


_STRING: _Schema = {"type": "string"}
_INTEGER: _Schema = {"type": "integer", "format": "int64"}
_BOOLEAN: _Schema = {"type": "boolean"}
_ANSWERED: Mapping[Kind, _Schema] = {
    Kind.STRING: _STRING,
    Kind.INTEGER: _INTEGER,
    Kind.BOOLEAN: _BOOLEAN,
    Kind.AMOUNT: {"type": "number", "format": "double"},
    Kind.CURRENCY: _STRING,
    Kind.TIME: _STRING | {"example": "2024-03-01 08:00:00"},
    Kind.MAP: {"type": "object", "additionalProperties": _STRING},
}
_ASKED: Mapping[Kind, _Schema] = {
    Kind.STRING: _STRING,
    Kind.INTEGER: _INTEGER,
    Kind.BOOLEAN: _BOOLEAN,
    Kind.AMOUNT: _STRING | {"pattern": AMOUNT_PATTERN, "example": "25.50"},
    Kind.CURRENCY: _STRING | {"pattern": CURRENCY_PATTERN, "example": "usd"},
    Kind.TIME: _STRING | {"example": "2024-03-01T08:00:00Z"},
}


def _map(limits: Limits) -> _Schema:
    values = field_limits(limits.values) if limits.values else {}
    schema: _Schema = {"type": "object", "additionalProperties": {"type": "string"} | values}
    if limits.max_pairs is not None:
        schema["maxProperties"] = limits.max_pairs
    return schema


def request_name(action: Action) -> str:
    """Return the name of the schema of an action's request."""
    return f"{_pascal(action.name)}Request"


def response_name(action: Action) -> str:
    """Return the name of the schema of an action's response."""
    return f"{_pascal(action.name)}Response"


def _error_name(status: int) -> str:
    return f"{_ERROR_NAMES[status]}Error"


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _component(type_name: str) -> str:
    """Return the name of a message or enum, after those that it is nested in."""
    return "".join(part for part in type_name.split(".") if part[0].isupper())
