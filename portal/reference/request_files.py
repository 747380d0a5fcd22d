"""Writes the examples of all actions as a Postman collection and as an `.http` file.

Both send to `/v1/{action}`, with variables for the host, the credentials and the user.
"""

import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from portal.reference.model import Action, Category, Reference
from portal.reference.openapi_v1 import example_request
from transcoding.actions import ACTIONS_PATH

_SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_VARIABLES: Final[Mapping[str, str]] = {
    "base_url": "http://127.0.0.1:8080",
    "business_id": "your-business-id",
    "api_key": "your-api-key",
    "user_id": "your-user-id",
}
_USER_ID = re.compile(r'"user_id": "[^"]*"')
_ABOUT = (
    "Set the variables `base_url`, `business_id` and `api_key`. `create_user` returns a `user_id` "
    "for the variable of that name. A request with an `idempotency_key` takes effect once, however "
    "often it is sent: change the key for another charge."
)


def postman_text(reference: Reference) -> str:
    """Return the examples as a Postman collection, format 2.1.0."""
    return json.dumps(postman(reference), indent=1, ensure_ascii=False)


def postman(reference: Reference) -> dict[str, Any]:
    """Return the collection, as `json` writes it: a folder for each category.

    https://learning.postman.com/collection-format/ describes the format.
    """
    credentials = {"username": "{{business_id}}", "password": "{{api_key}}"}
    return {
        "info": {
            "name": "Nivisco Payments",
            "description": _ABOUT,
            "version": version("nivisco"),
            "schema": _SCHEMA,
        },
        "auth": {
            "type": "basic",
            "basic": [
                {"key": key, "value": value, "type": "string"} for key, value in credentials.items()
            ],
        },
        "variable": [
            {"key": key, "value": value, "type": "string"} for key, value in _VARIABLES.items()
        ],
        "item": [_folder(category) for category in reference.categories],
    }


def http_file_text(reference: Reference) -> str:
    """Return the examples as a file for the HTTP clients of editors (VS Code, JetBrains)."""
    variables = [f"@{key} = {value}" for key, value in _VARIABLES.items()]
    lines = ["# Nivisco Payments. " + _ABOUT.replace("`", ""), "", *variables]
    for action in reference.actions().values():
        lines += [
            "",
            f"### {action.summary.replace('`', '')}",
            f"# @name {action.name}",
            f"POST {{{{base_url}}}}{ACTIONS_PATH}{action.name}",
            "Authorization: Basic {{business_id}} {{api_key}}",
            "Content-Type: application/json",
            "",
            _body(action),
        ]
    return "\n".join([*lines, ""])


def _folder(category: Category) -> dict[str, Any]:
    return {
        "name": category.name,
        "description": category.description,
        "item": [_item(action) for action in category.actions],
    }


def _item(action: Action) -> dict[str, Any]:
    path = ACTIONS_PATH + action.name
    request = {
        "method": "POST",
        "header": [{"key": "Content-Type", "value": "application/json"}],
        "url": {
            "raw": "{{base_url}}" + path,
            "host": ["{{base_url}}"],
            "path": path.removeprefix("/").split("/"),
        },
        "body": {"mode": "raw", "raw": _body(action), "options": {"raw": {"language": "json"}}},
        "description": action.description,
    }
    answers = []
    if action.example is not None and action.example.response is not None:
        answers = [
            {
                "name": action.summary,
                "originalRequest": request,
                "status": "OK",
                "code": 200,
                "_postman_previewlanguage": "json",
                "header": [{"key": "Content-Type", "value": "application/json; charset=utf-8"}],
                "body": action.example.response,
            }
        ]
    return {"name": action.name, "request": request, "response": answers}


def _body(action: Action) -> str:
    """Return the body of the action's example, or an empty object, with a variable for the user."""
    fields = {} if action.example is None else example_request(action)
    text = json.dumps(fields, indent=2, ensure_ascii=False)
    return _USER_ID.sub('"user_id": "{{user_id}}"', text)
