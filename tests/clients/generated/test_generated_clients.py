"""Clients that openapi-generator makes of /openapi-v1.json compile, charge a card and decline one.

The same scenario in each language prints what it saw. A client that raises while it reads a
response would do so after the card was charged.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from portal.reference.build import reference
from portal.reference.openapi_v1 import openapi_v1_text
from tests.clients.conftest import Endpoint, call
from tests.clients.runners import environment_of
from tests.optional_programs import needs

HERE = Path(__file__).parent
_PACKAGES = "npm:tests/clients/generated"
_GENERATORS: dict[str, tuple[str, dict[str, object]]] = {
    "python": ("python", {"packageName": "nivisco_api"}),
    "java": (
        "java",
        {
            "library": "native",
            "openApiNullable": False,
            "annotationLibrary": "none",
            "documentationProvider": "none",
            "invokerPackage": "nivisco",
            "apiPackage": "nivisco.api",
            "modelPackage": "nivisco.model",
        },
    ),
    "go": ("go", {"packageName": "nivisco", "withGoMod": False, "enumClassPrefix": True}),
    "typescript": ("typescript-axios", {"importFileExtension": ".js"}),
}
LANGUAGES = [
    "python",
    pytest.param("typescript", marks=needs("node", _PACKAGES)),
    pytest.param("go", marks=needs("go")),
    "java",
]
_ONLY_CODE = {"modelDocs": False, "apiDocs": False, "modelTests": False, "apiTests": False}

pytestmark = needs("java")  # openapi-generator needs it, too


def _jar() -> Path:
    """Return the generator, which has Jackson in it, the only package that its Java client needs."""
    found = find_spec("openapi_generator_cli")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "openapi-generator.jar"


def _run(*command: str, cwd: Path, **variables: str) -> str:
    ended = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-5000:]
    return ended.stdout


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with a client for each language, generated in one go."""
    folder = tmp_path_factory.mktemp("generated")
    document = folder / "openapi-v1.json"
    document.write_text(openapi_v1_text(reference()))
    files = []
    for language, (generator, options) in _GENERATORS.items():
        configuration = {
            "generatorName": generator,
            "inputSpec": str(document),
            "outputDir": str(folder / language / "api-client"),
            "additionalProperties": options | {"hideGenerationTimestamp": True},
            "globalProperties": {"models": "", "apis": "", "supportingFiles": ""} | _ONLY_CODE,
        }
        files.append(folder / f"{language}.json")
        files[-1].write_text(json.dumps(configuration))
    arguments = ["batch", "--fail-fast", "--root-dir", str(folder), *map(str, files)]
    _run("java", "-jar", str(_jar()), *arguments, cwd=folder)
    return folder


def _python(folder: Path, variables: dict[str, str]) -> str:
    path = {"PYTHONPATH": str(folder / "api-client")}
    return _run(sys.executable, str(HERE / "scenario.py"), cwd=folder, **variables | path)


def _java(folder: Path, variables: dict[str, str]) -> str:
    # The annotation is in a package of its own since Java 11; it has no effect.
    annotation = folder / "javax" / "annotation" / "Generated.java"
    annotation.parent.mkdir(parents=True)
    annotation.write_text(
        "package javax.annotation; public @interface Generated "
        '{ String[] value(); String comments() default ""; String date() default ""; }'
    )
    sources = [str(each) for each in (folder / "api-client/src/main").rglob("*.java")]
    (folder / "sources").write_text("\n".join([*sources, str(annotation), f"{HERE}/Scenario.java"]))
    _run("javac", "-nowarn", "-d", "classes", "-cp", str(_jar()), "@sources", cwd=folder)
    return _run("java", "-cp", f"classes:{_jar()}", "Scenario", cwd=folder, **variables)


def _go(folder: Path, variables: dict[str, str]) -> str:
    client = folder / "api-client"
    (client / "go.mod").write_text("module example.com/generated\n\ngo 1.18\n")
    (client / "cmd").mkdir()
    (client / "cmd" / "main.go").write_bytes((HERE / "scenario.go").read_bytes())
    offline = {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    _run("go", "build", "./...", cwd=client, **offline)
    return _run("go", "run", "./cmd", cwd=client, **variables | offline)


def _typescript(folder: Path, variables: dict[str, str]) -> str:
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    (folder / "scenario.ts").write_bytes((HERE / "scenario.ts").read_bytes())
    compiler = HERE / "node_modules" / "typescript" / "bin" / "tsc"
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node"]
    _run("node", str(compiler), *options, "--outDir", "built", "scenario.ts", cwd=folder)
    return _run("node", "built/scenario.js", cwd=folder, **variables)


_RUNNERS = {"python": _python, "java": _java, "go": _go, "typescript": _typescript}


def refusal(status: int, error: str, code: str | None, **more: object) -> dict[str, Any]:
    plain = {"status": status, "error": error, "code": code, "decline_code": None, "fields": []}
    return plain | more


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_generated_client_compiles_charges_and_declines(
    endpoint: Endpoint, generated: Path, language: str
) -> None:
    business_id, api_key = endpoint.business(f"generated-{language}")
    variables = environment_of(endpoint.url.rstrip("/"), business_id, api_key)
    shown = _RUNNERS[language](generated / language, variables)
    seen = json.loads(shown)
    declined = seen.pop("declined")
    assert (declined["status"], declined["code"]) == (402, "CARD_DECLINED")
    assert declined["decline_code"] == "generic_decline"
    invalid = seen.pop("invalid")
    assert (invalid["status"], invalid["code"]) == (400, "INVALID_FIELDS")
    assert invalid["fields"] == ["amount"]
    assert seen == {
        "charged": [True, "succeeded", 25.5, "usd"],
        "replayed": True,
        "unknown_user": refusal(404, "User not found", "USER_NOT_FOUND"),
        "wrong_key": refusal(401, "Invalid business credentials", None),
        "listed": [["declined", 9, None], ["succeeded", 25.5, None]],
    }
    assert api_key not in shown
    caller = {"business_id": business_id, "api_key": api_key}
    records = call(endpoint.url, caller, action="get_payment_records")
    assert [each["status"] for each in records["payments"]] == ["declined", "succeeded"]
