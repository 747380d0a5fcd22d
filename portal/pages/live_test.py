"""The page of the live test, and the actions as data for its script."""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor

from portal.pages.documents import ASSETS, Document
from portal.pages.rendering import page
from portal.reference.model import Action, Field, Kind, Reference
from portal.reference.testing import Card, authorize_cards, stripe_cards
from rpc.catalogue import secret_names
from transcoding import exact_json
from transcoding.actions import build_catalogue
from transcoding.field_problems import FieldProblems
from transcoding.parsing import parse_object


@cache
def actions_document(reference: Reference) -> Document:
    """Return the actions and the names of secrets as JSON for the page."""
    content = {
        "secrets": sorted(secret_names()),
        "cards": {
            "payment_method_token": [
                _choice(card, card.token) for card in stripe_cards() if card.token
            ],
            "payment_profile.card_number": [
                _choice(card, card.number) for card in authorize_cards()
            ],
        },
        "actions": [_action(action) for action in reference.actions().values()],
    }
    return Document("actions.json", json.dumps(content, ensure_ascii=False).encode())


def _choice(card: Card, value: str) -> dict[str, str]:
    """Return a test card for the list beside the field of this path that takes the value."""
    label = f"{card.brand} …{card.number[-4:]}, {card.behaviour}"
    return {"value": value, "label": label, "group": card.group}


def live_test_page(reference: Reference) -> Document:
    """Return the page, which loads `actions_document`."""
    return page("live_test.html", reference=reference, actions_address=actions_address(reference))


def actions_address(reference: Reference) -> str:
    """Return the URL of `actions_document` with its version."""
    actions = actions_document(reference)
    return f"{ASSETS}{actions.name}?v={actions.version}"


def _action(action: Action) -> dict[str, Any]:
    method = build_catalogue()[action.name].method
    return {
        "name": action.name,
        "rpc": action.rpc,
        "category": action.category,
        "description": action.description,
        "mutates": action.mutates,
        "movesMoney": action.moves_money,
        "adminOnly": action.admin_only,
        "isAnnounced": action.example is None or action.example.response is None,
        "fields": _fields(action.request, method.input_type, method.name),
        # As text, because the script keeps the text of numbers.
        "example": exact_json.write(exact_json.read(action.example.request))
        if action.example
        else "{}",
        "message": _message(action),
    }


def _message(action: Action) -> str:
    """Return the example as ProtoJSON of the request's message, which tools of gRPC take."""
    text = action.example.request if action.example else "{}"
    fields = parse_object(text.encode())
    problems = FieldProblems()
    message = build_catalogue()[action.name].read(fields, "", problems)
    assert not problems.found, f"the example of {action.name} is valid"
    return json_format.MessageToJson(message, preserving_proto_field_name=True)


def _fields(fields: Iterable[Field], message: Descriptor, prefix: str) -> list[dict[str, Any]]:
    return [
        {
            "name": field.name,
            "path": field.path,
            "kind": field.kind.value,
            "description": field.description,
            "required": field.required,
            "repeated": field.repeated,
            "clearable": field.nullable,  # of a request's field: null clears the stored value
            "words": [word.word for word in field.words],
            "limits": field.other_limits(),
            **_object(field, message, prefix),
        }
        for field in fields
    ]


def _object(field: Field, message: Descriptor, prefix: str) -> dict[str, Any]:
    if field.kind is not Kind.OBJECT:
        return {"fields": []}
    inner = message.fields_by_name[field.name].message_type
    assert inner is not None, "an object has a message"
    return {"type": _class(inner, prefix), "fields": _fields(field.fields, inner, prefix)}


def _class(message: Descriptor, prefix: str) -> str:
    """Return the name of a request's object in the client libraries, as clients/generate has it."""
    if len(_namesakes()[message.name]) == 1:
        return message.name
    return prefix if prefix.endswith(message.name) else prefix + message.name


@cache
def _namesakes() -> dict[str, set[str]]:
    """Return the full names of the messages within requests and responses, by their short names."""
    found: dict[str, set[str]] = {}

    def within(message: Descriptor) -> Iterator[Descriptor]:
        for field in message.fields:
            if field.message_type is not None:
                yield field.message_type
                yield from within(field.message_type)

    for action in build_catalogue().values():
        for top in (action.method.input_type, action.method.output_type):
            for message in within(top):
                found.setdefault(message.name, set()).add(message.full_name)
    return found
