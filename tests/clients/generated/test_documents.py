"""Tools of others accept the OpenAPI documents and the Postman collection."""

import json
from pathlib import Path

from portal.reference.build import reference
from portal.reference.openapi import openapi_text
from portal.reference.openapi_v1 import openapi_v1_text
from portal.reference.request_files import postman_text
from tests.browser.node import run_node
from tests.optional_programs import needs

HERE = Path(__file__).parent

pytestmark = needs("node", "npm:tests/clients/generated")


def test_redocly_finds_nothing_in_the_openapi_documents(tmp_path: Path) -> None:
    files = []
    for name, text in (("openapi", openapi_text), ("openapi-v1", openapi_v1_text)):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(text(reference()))
    ended = run_node(str(HERE / "lint.mjs"), *map(str, files))
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr


def test_redocly_finds_what_is_wrong(tmp_path: Path) -> None:
    broken = json.loads(openapi_v1_text(reference()))
    del broken["components"]["securitySchemes"]
    del broken["info"]["license"]
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(broken))
    ended = run_node(str(HERE / "lint.mjs"), str(file))
    assert "security-defined" in ended.stdout
    assert "info-license" in ended.stdout


def test_postman_imports_the_collection(tmp_path: Path) -> None:
    file = tmp_path / "postman.json"
    file.write_text(postman_text(reference()))
    ended = run_node(str(HERE / "postman.mjs"), str(file))
    assert ended.returncode == 0, ended.stderr
    imported = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [each["path"] for each in imported] == [f"/v1/{name}" for name in reference().actions()]
    for each in imported:
        assert each["method"] == "POST"
        assert each["auth"] == ["basic", "{{business_id}}", "{{api_key}}"]
        assert each["responses"] == [200]
