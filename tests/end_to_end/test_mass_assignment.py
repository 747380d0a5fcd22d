"""Columns of the database in the body of any action are refused, over both paths of JSON."""

import json
from pathlib import Path
from typing import Any

from aiohttp import encode_basic_auth

from tests.databases import fresh_sqlite
from tests.end_to_end.examples import read
from tests.end_to_end.running import JsonClient, running_stack
from transcoding.actions import ACTIONS_PATH, build_catalogue

FORBIDDEN: dict[str, Any] = {
    "api_key_hash": "0" * 64,
    "balance": 1_000_000,
    "balance_minor": 1_000_000,
    "created_at": "2020-01-01 00:00:00",
    "is_admin": True,
    "last_used_at": "2020-01-01 00:00:00",
    "suspended_at": "2020-01-01 00:00:00",
    "wallet_id": "WAL-1",
}
"""Fields of no request, with values that would matter."""


async def unknown_fields(client: JsonClient, path: str, body: dict[str, Any]) -> set[str]:
    """Send a request that is refused, and return the fields that it must not have."""
    headers = {"Authorization": encode_basic_auth(client.business_id, client.api_key)}
    async with client.session.post(client.url + path, json=body, headers=headers) as response:
        answer = json.loads(await response.text())
        assert (response.status, answer["code"]) == (400, "INVALID_FIELDS"), answer
    return {
        each["field"]
        for each in answer["fields"]
        if each["description"].startswith("is not a field of this request")
    }


async def test_no_action_takes_a_column_or_another_business(tmp_path: Path) -> None:
    other = {"business_id": "ADMIN-BUSINESS"}
    async with running_stack(tmp_path, fresh_sqlite(tmp_path / "nivisco.db")) as stack:
        for name, action in build_catalogue().items():
            client = stack.admin if action.admin_only else stack.merchant
            request: dict[str, Any] = json.loads(json.dumps(read(name)["request"], default=str))
            objects = [each for each in request if isinstance(request[each], dict)]
            objects = [each for each in objects if each != "metadata"]
            within = {each: request[each] | FORBIDDEN | other for each in objects[:1]}
            refused = {f"{each}.{field}" for each in within for field in FORBIDDEN | other}
            own = {"business_id": client.business_id, "api_key": client.api_key, "action": name}
            sent = request | FORBIDDEN | within
            assert await unknown_fields(client, "/", sent | own) == refused | set(FORBIDDEN), name
            of_path = await unknown_fields(client, ACTIONS_PATH + name, sent)
            assert of_path == refused | set(FORBIDDEN), name
