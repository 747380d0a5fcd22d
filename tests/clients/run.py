"""Reads calls from stdin and makes them with the Python client, blocking or asynchronous."""

import asyncio
import dataclasses
import inspect
import json
import os
import sys
import typing
from collections.abc import Callable
from datetime import datetime
from typing import Any

from nivisco_client import CLEAR, ApiError, AsyncNivisco, Nivisco, NiviscoError


def main() -> None:
    """Make calls until stdin ends."""
    arguments = (os.environ["CLIENT_URL"], os.environ["CLIENT_BUSINESS_ID"])
    key = os.environ["CLIENT_API_KEY"]
    timeout = float(os.environ["CLIENT_TIMEOUT_SECONDS"])
    allowed = "CLIENT_ALLOW_PLAIN_HTTP" in os.environ
    kind = AsyncNivisco if sys.argv[1] == "python-async" else Nivisco
    client = kind(*arguments, key, timeout_seconds=timeout, allow_plain_http=allowed)
    _print({"shown": repr(client)})
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            _print(_result_of(client, json.loads(line), runner))


def _result_of(client: object, call: dict[str, Any], runner: asyncio.Runner) -> dict[str, Any]:
    method = getattr(client, call["action"])
    given = _typed(method, call["fields"])
    if call["idempotency_key"] is not None:
        given["idempotency_key"] = call["idempotency_key"]
    try:
        made = method(**given)
        if inspect.isawaitable(made):
            result = runner.run(_awaited(made))
        elif inspect.isasyncgen(made):
            result = runner.run(_listed(made))
        else:
            result = list(made) if inspect.isgenerator(made) else made
    except NiviscoError as error:
        shown = {name: value for name, value in vars(error).items() if not name.startswith("_")}
        if isinstance(error, ApiError):
            shown["fields"] = [dataclasses.asdict(each) for each in error.fields]
        shown |= {"kind": type(error).__name__}
        return {"error": shown, "shown": f"{error!r} {error} {vars(error)}"}
    if isinstance(result, list):
        return {"result": {"items": [dataclasses.asdict(each) for each in result]}, "shown": ""}
    return {"result": dataclasses.asdict(result), "shown": repr(result)}


async def _awaited(made: Any) -> Any:
    return await made


async def _listed(made: Any) -> list[Any]:
    return [each async for each in made]


def _typed(method: Callable[..., object], fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with the nested ones as the types that the method takes."""
    hints = typing.get_type_hints(method)
    return {
        name: hints[name](**_cleared(value)) if dataclasses.is_dataclass(hints[name]) else value
        for name, value in _cleared(fields).items()
    }


def _cleared(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with null as the constant that the client sends as null."""
    return {name: CLEAR if value is None else value for name, value in fields.items()}


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value, default=datetime.isoformat) + "\n")
    sys.stdout.flush()


main()
