"""schemathesis generates requests from the OpenAPI documents; every response must match them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import schemathesis
from aiohttp import encode_basic_auth
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator
from schemathesis import GenerationMode

from tests.databases import fresh_sqlite
from tests.end_to_end.examples import Samples, run_examples
from tests.end_to_end.running import JsonClient, Stack, running_stack
from tests.portal.test_openapi_v1 import as_json_schema
from transcoding.actions import ACTIONS_PATH

EXAMPLES = 250
"""Requests in each mode."""
ACTION_EXAMPLES = 80
"""Requests to the actions' own paths in each mode."""
LEAST_SUCCEEDED = 4
"""Actions that must succeed at least once: a run with errors only would prove little. The generated
requests differ between machines: 7 and 10 actions were seen to succeed."""
FAULT = 500
"""A status that no request may get."""


class Conversation:
    """Sends generated requests as a business that has a user with a card."""

    def __init__(
        self, document: dict[str, Any], stack: Stack, business: JsonClient, user: str
    ) -> None:
        self._document = document
        self._admin = stack.admin
        self.business = business
        self._user = user
        self.statuses: set[int] = set()
        self.succeeded: set[str] = set()

    def send(
        self, case: schemathesis.Case[Any], *, with_credentials: bool, with_user: bool
    ) -> None:
        """Send one request and check its response."""
        body: Any = case.body
        if isinstance(body, dict):
            action = body.get("action")
            client = self._admin if action == "register_business" else self.business
            if with_credentials:
                body |= {"business_id": client.business_id, "api_key": client.api_key}
            if with_user and "user_id" in body:
                body["user_id"] = self._user
        response = case.call(base_url=client.url if isinstance(body, dict) else self.business.url)
        content = response.json()
        self.statuses.add(response.status_code)
        assert response.status_code != FAULT, (body, content)
        action = body.get("action") if isinstance(body, dict) else None
        self._check(self._schema_of(response.status_code, action), content, body)
        if response.status_code == 200:
            self.succeeded.add(body["action"])
            if body["action"] == "change_api_key":
                self.business = client.as_business(client.business_id, content["api_key"])

    def _schema_of(self, status: int, action: object) -> dict[str, Any]:
        if status == 200:
            mapping = self._document["components"]["schemas"]["Request"]["discriminator"]["mapping"]
            name = mapping[action].rpartition("/")[2]
            return {"$ref": self._document["components"]["schemas"][name]["x-response"]}
        responses = self._document["paths"]["/"]["post"]["responses"]
        assert str(status) in responses, (status, action)
        schema: dict[str, Any] = responses[str(status)]["content"]["application/json"]["schema"]
        return schema

    def _check(self, schema: dict[str, Any], content: Any, body: Any) -> None:
        rooted = schema | {"components": self._document["components"]}
        errors = [e.message for e in Draft202012Validator(rooted).iter_errors(content)]
        assert errors == [], (body, content)


class ActionConversation(Conversation):
    """Sends generated requests to the actions' own paths, with HTTP Basic."""

    def send(
        self, case: schemathesis.Case[Any], *, with_credentials: bool, with_user: bool
    ) -> None:
        """Send one request and check its response."""
        name = case.operation.path.removeprefix(ACTIONS_PATH)
        client = self._admin if name == "register_business" else self.business
        body: Any = case.body
        if with_user and isinstance(body, dict) and "user_id" in body:
            body["user_id"] = self._user
        key = client.api_key if with_credentials else "wrong"
        headers = {"Authorization": encode_basic_auth(client.business_id, key)}
        response = case.call(base_url=client.url, headers=headers)
        content = response.json()
        self.statuses.add(response.status_code)
        assert response.status_code != FAULT, (name, body, content)
        self._check(self._schema_of(response.status_code, name), content, body)
        if response.status_code == 200:
            self.succeeded.add(name)
            if name == "change_api_key":
                self.business = client.as_business(client.business_id, content["api_key"])

    def _schema_of(self, status: int, action: object) -> dict[str, Any]:
        responses = self._document["paths"][f"{ACTIONS_PATH}{action}"]["post"]["responses"]
        assert str(status) in responses, (status, action)
        answer = responses[str(status)]
        if "$ref" in answer:
            answer = self._document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        schema: dict[str, Any] = answer["content"]["application/json"]["schema"]
        return schema


def _talk(
    conversation: Conversation, document: dict[str, Any], mode: GenerationMode, examples: int
) -> None:
    schema = schemathesis.openapi.from_dict(document)
    operations = [schema[path]["POST"] for path in document["paths"]]

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(
        case=st.one_of([each.as_strategy(generation_mode=mode) for each in operations]),
        credentials=st.integers(0, 9).map(bool),
        user=st.booleans(),
    )
    def talk(case: schemathesis.Case[Any], credentials: bool, user: bool) -> None:
        conversation.send(case, with_credentials=credentials, with_user=user)

    talk()


async def test_no_generated_request_is_an_internal_error(
    tmp_path: Path,
) -> None:
    database = fresh_sqlite(tmp_path / "nivisco.db")
    async with running_stack(tmp_path, database, gateway_timeout_seconds=20.0) as stack:
        document = json.loads((await stack.admin.send("", "GET", "/openapi.json")).text)
        samples = Samples()
        responses = {}
        async for result in run_examples(stack, samples):
            assert samples.differences(result.shown, result.actual) == []
            responses[result.name] = result.actual
        rotated = responses["change_api_key"]
        business = stack.merchant.as_business(rotated["business_id"], rotated["api_key"])
        user = responses["create_user"]["user"]["user_id"]
        conversation = Conversation(document, stack, business, user)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            await asyncio.to_thread(_talk, conversation, document, mode, EXAMPLES)
        v1 = json.loads((await stack.admin.send("", "GET", "/openapi-v1.json")).text)
        at_paths = ActionConversation(as_json_schema(v1), stack, conversation.business, user)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            await asyncio.to_thread(_talk, at_paths, v1, mode, ACTION_EXAMPLES)
    assert {200, 400, 401, 404} <= conversation.statuses
    assert len(conversation.succeeded) >= LEAST_SUCCEEDED, conversation.succeeded
    assert {200, 400, 401, 404} <= at_paths.statuses
