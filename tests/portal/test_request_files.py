"""The Postman collection and the `.http` file send requests that the endpoint accepts."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
import pytest

from adapter.settings import AdapterSettings
from portal.reference.build import reference
from portal.reference.request_files import http_file_text, postman, postman_text
from tests.adapter.recording_core import RecordingCore
from tests.adapter.running import CREDENTIALS, running_adapter

ACTIONS = reference().actions()
COLLECTION = json.loads(postman_text(reference()))
VALUES = CREDENTIALS | {"user_id": "USR-1"}


def resolved(text: str, values: Mapping[str, str]) -> str:
    found = re.sub(r"\{\{(\w+)\}\}", lambda name: values[name[1]], text)
    assert "{{" not in found
    return found


def of_collection(values: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    [username, password] = [each["value"] for each in COLLECTION["auth"]["basic"]]
    user, key = resolved(username, values), resolved(password, values)
    for folder in COLLECTION["item"]:
        for item in folder["item"]:
            sent: dict[str, Any] = item["request"]
            assert sent["method"] == "POST"
            address = "/".join([*sent["url"]["host"], *sent["url"]["path"]])
            assert address == sent["url"]["raw"]
            yield (
                resolved(address, values),
                user,
                key,
                resolved(sent["body"]["raw"], values),
            )


def of_http_file(values: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    first, *requests = http_file_text(reference()).split("\n### ")
    assert re.findall(r"^@(\w+) = \S+$", first, re.MULTILINE) == [*values]
    for each in requests:
        head, _, body = each.partition("\n\n")
        line = re.search(r"^POST (\S+)$", head, re.MULTILINE)
        given = re.search(r"^Authorization: Basic (\S+) (\S+)$", head, re.MULTILINE)
        assert line is not None
        assert given is not None
        user, key = resolved(given[1], values), resolved(given[2], values)
        yield resolved(line[1], values), user, key, resolved(body, values)


@pytest.mark.parametrize("requests_in", [of_collection, of_http_file])
async def test_every_action_is_sent_with_its_example(requests_in: Any) -> None:
    core = RecordingCore()
    await core.start()
    settings = AdapterSettings(port=0, core_target=core.target, lame_duck_seconds=0.0)
    paths = []
    async with running_adapter(settings) as client:
        values = {"base_url": client.url} | VALUES
        for url, user, key, body in requests_in(values):
            headers = {"Authorization": aiohttp.encode_basic_auth(user, key)}
            async with client.session.post(url, data=body, headers=headers) as response:
                assert response.status == 200, (url, await response.text())
            paths.append(url.removeprefix(client.url))
    await core.stop()
    assert paths == [f"/v1/{name}" for name in ACTIONS]
    assert [call.problems for call in core.calls] == [[] for _ in ACTIONS]


def test_a_collection_has_the_responses_of_the_examples() -> None:
    for folder in postman(reference())["item"]:
        for item in folder["item"]:
            example = ACTIONS[item["name"]].example
            assert example is not None
            assert [answer["body"] for answer in item["response"]] == [example.response]


def test_variables_hold_no_key() -> None:
    given = {each["key"]: each["value"] for each in COLLECTION["variable"]}
    assert given["api_key"] == "your-api-key"
    assert [*given] == ["base_url", "business_id", "api_key", "user_id"]
