"""Reads the examples, one file an action, that the suite executes; it never makes one up."""

import json
from functools import cache
from importlib.resources import files

from adapter.reference.model import Example

_FOLDER = "examples"


@cache
def example_of(action: str) -> Example | None:
    """Return the action's example, or None where no file holds one.

    A file has a `request`, without credentials and action, and the `response` to it.
    """
    file = files("adapter").joinpath(_FOLDER, f"{action}.json")
    if not file.is_file():
        return None
    content = json.loads(file.read_text(encoding="utf-8"))
    return Example(_pretty(content["request"]), _pretty(content["response"]))


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
