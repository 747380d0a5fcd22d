"""The page of the live test, and the actions as data for its script."""

import json
from collections.abc import Iterable
from typing import Any

from portal.pages.documents import ASSETS, Document
from portal.pages.rendering import page
from portal.reference.model import Action, Field, Reference
from rpc.catalogue import secret_names
from transcoding import exact_json


def actions_document(reference: Reference) -> Document:
    """Return the actions and the names of secrets as JSON for the page."""
    content = {
        "secrets": sorted(secret_names()),
        "actions": [_action(action) for action in reference.actions().values()],
    }
    return Document("actions.json", json.dumps(content, ensure_ascii=False).encode())


def live_test_page(reference: Reference) -> Document:
    """Return the page, which loads `actions_document`."""
    actions = actions_document(reference)
    address = f"{ASSETS}{actions.name}?v={actions.version}"
    return page("live_test.html", reference=reference, actions_address=address)


def _action(action: Action) -> dict[str, Any]:
    return {
        "name": action.name,
        "category": action.category,
        "description": action.description,
        "mutates": action.mutates,
        "movesMoney": action.moves_money,
        "adminOnly": action.admin_only,
        "isAnnounced": action.example is None or action.example.response is None,
        "fields": _fields(action.request),
        # As text, because the script keeps the text of numbers.
        "example": exact_json.write(exact_json.read(action.example.request))
        if action.example
        else "{}",
    }


def _fields(fields: Iterable[Field]) -> list[dict[str, Any]]:
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
            "limits": field.limits.sentences(),
            "fields": _fields(field.fields),
        }
        for field in fields
    ]
