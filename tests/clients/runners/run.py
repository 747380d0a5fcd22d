"""Calls the Python client as each line says, blocking or with asyncio, and prints what came."""

import asyncio
import dataclasses
import json
import os
import sys
from typing import Any

from nivisco_payments import ApiError, AsyncClient, Client, NiviscoError


def _failed(error: NiviscoError) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "kind": type(error).__name__,
        "message": str(error),
        "idempotency_key": error.idempotency_key,
        "outcome_unknown": error.outcome_unknown,
    }
    if isinstance(error, ApiError):
        for name in ("status", "code", "decline_code", "retry_after"):
            shown[name] = getattr(error, name)
        shown["fields"] = [problem._asdict() for problem in error.fields]
    return {"error": shown}


async def main() -> None:
    settings = (os.environ["URL"], float(os.environ["TIMEOUT"]))
    credentials = (os.environ["BUSINESS_ID"], os.environ["API_KEY"])
    kind: Any = AsyncClient if sys.argv[1] == "async" else Client
    client = kind(*credentials, settings[0], timeout=settings[1])
    print(json.dumps({"dump": repr(client) + repr(vars(client))}), flush=True)
    for line in sys.stdin:
        step = json.loads(line)
        try:
            result = getattr(client, step["action"])(**step["fields"])
            if kind is AsyncClient:
                result = await result
            print(json.dumps({"result": dataclasses.asdict(result)}), flush=True)
        except NiviscoError as error:
            print(json.dumps(_failed(error)), flush=True)
    ended = client.close()
    if kind is AsyncClient:
        await ended


asyncio.run(main())
