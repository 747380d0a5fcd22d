"""Reads the examples, one file for each action.

tests/end_to_end/examples.py executes and renews them.

A file has a `request`, without credentials and action, and its actual `response`. In the folder
`errors` a file is named after the reason and has the `action`, too. A response without `success`
only says which ids to show in the first actual one.
"""

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from portal.reference.model import Example
from transcoding import exact_json
from transcoding.responses import SUCCESS_KEY

_FOLDER = files("portal").joinpath("examples")


@cache
def example_of(action: str) -> Example | None:
    """Return the action's example, or None if it has no file."""
    return _read(_FOLDER.joinpath(f"{action}.json"), action)


@cache
def example_of_error(reason: str) -> Example | None:
    """Return a request that fails with the reason, or None if it has no file."""
    return _read(_FOLDER.joinpath("errors", f"{reason}.json"), None)


def _read(file: Traversable, action: str | None) -> Example | None:
    if not file.is_file():
        return None
    content = exact_json.read(file.read_text(encoding="utf-8"))
    response = content.get("response", {})
    return Example(
        exact_json.write(content["request"], indent=2),
        exact_json.write(response, indent=2) if SUCCESS_KEY in response else None,
        action or content["action"],
    )
