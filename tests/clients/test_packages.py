"""Artefacts of the client libraries as they are published, installed into empty projects."""

import json
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.clients.conftest import Endpoint
from tests.clients.runners import CLIENTS, HERE, running
from tests.clients.scenario import play
from tests.clients.shop import run
from tests.optional_programs import ROOT, needs

_PRINTED = r"""charged 25\.50 usd
declined generic_decline
\S+ 25\.50 declined
\S+ 25\.50 succeeded
"""
_NODE = needs("node", "npm:clients/typescript")


def _passes_example(endpoint: Endpoint, name: str, *command: str) -> None:
    business_id, api_key = endpoint.business(name)
    variables = {
        "NIVISCO_URL": endpoint.url,
        "NIVISCO_BUSINESS_ID": business_id,
        "NIVISCO_API_KEY": api_key,
    }
    printed = run(*command, cwd=None, **variables)
    assert re.fullmatch(_PRINTED, printed), printed


def _copied(package: str, folder: Path) -> Path:
    """Return a copy of a package's folder, as a repository of its own would have it."""
    ignored = shutil.ignore_patterns("dist", "node_modules", "__pycache__")
    return Path(shutil.copytree(CLIENTS / package, folder / package, ignore=ignored))


@pytest.fixture(scope="module")
def python_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the built wheel and sdist."""
    folder = tmp_path_factory.mktemp("python")
    source = _copied("python", folder)
    run(sys.executable, "-m", "hatchling", "build", "-d", str(folder), cwd=source)
    return folder


def test_the_python_artefacts_are_complete(python_package: Path, tmp_path: Path) -> None:
    (wheel,) = python_package.glob("*.whl")
    (sdist,) = python_package.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        (metadata,) = (name for name in names if name.endswith("/METADATA"))
        headers = packed.read(metadata).decode()
    modules = {f"nivisco_client/{each.name}" for each in CLIENTS.glob("python/src/*/*.py")}
    assert names > modules | {"nivisco_client/py.typed"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    for header in ("License-Expression: Apache-2.0", "Typing :: Typed", "# Nivisco client"):
        assert header in headers
    with tarfile.open(sdist) as packed_source:
        packed_source.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    for name in ("CHANGELOG.md", "LICENSE", "README.md", "examples/charge.py"):
        assert (source / name).is_file(), name
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path), cwd=source)
    with zipfile.ZipFile(tmp_path / wheel.name) as again:
        assert set(again.namelist()) == names


@needs("package index")
def test_the_python_wheel_passes_the_scenario_in_an_empty_environment(
    python_package: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    (wheel,) = python_package.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv"))
    python = str(tmp_path / "venv" / "bin" / "python")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "--disable-pip-version-check", str(wheel))
    business_id, api_key = endpoint.business("wheel")
    command = (python, "-I", str(HERE / "run.py"), "python")
    with running("python", endpoint.url, business_id, api_key, tmp_path, command=command) as runner:
        play(runner, business_id, api_key)
    example = CLIENTS / "python" / "examples" / "charge.py"
    _passes_example(endpoint, "wheel-example", python, "-I", str(example))


@needs("php", "composer")
def test_the_php_package_passes_the_scenario_in_an_empty_project(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, project = _copied("php", tmp_path / "split"), tmp_path / "project"
    project.mkdir()
    local = {"type": "path", "url": str(package), "options": {"symlink": False}}
    wanted = {
        "repositories": [local, {"packagist.org": False}],
        "require": {"nivisco/client": "*"},
    }
    (project / "composer.json").write_text(json.dumps(wanted))
    home = {"COMPOSER_HOME": str(tmp_path / "home"), "COMPOSER_ALLOW_SUPERUSER": "1"}
    quiet = ("--quiet", "--no-interaction", "--no-plugins")
    run("composer", "validate", "--strict", "--no-check-version", *quiet, cwd=package, **home)
    run("composer", "install", *quiet, cwd=project, **home)
    monkeypatch.setenv("COMPOSER_AUTOLOAD", str(project / "vendor" / "autoload.php"))
    business_id, api_key = endpoint.business("composer")
    with running("php", endpoint.url, business_id, api_key, tmp_path) as runner:
        play(runner, business_id, api_key)
    example = project / "vendor" / "nivisco" / "client" / "examples" / "charge.php"
    _passes_example(endpoint, "composer-example", "php", str(example))


@needs("go")
def test_the_go_module_is_formatted_and_runs_its_example(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    source = CLIENTS / "go"
    assert run("gofmt", "-l", str(source), str(HERE / "go")) == ""
    compiled = str(tmp_path / "charge")
    run("go", "build", "-o", compiled, "./examples/charge", cwd=source)
    _passes_example(endpoint, "go-example", compiled)


@needs("go")
def test_the_go_module_passes_its_own_tests() -> None:
    run("go", "test", "-count=1", ".", cwd=HERE / "go")


@_NODE
def test_the_npm_package_runs_its_example_and_is_required_by_commonjs(
    built: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    package = built.parents[1]
    assert {each.name for each in package.iterdir()} == {
        *("CHANGELOG.md", "LICENSE", "README.md", "dist", "examples", "package.json")
    }
    example = package / "examples" / "charge.mjs"
    _passes_example(endpoint, "npm-example", "node", str(example))
    business_id, api_key = endpoint.business("commonjs")
    program = package.parents[2] / "main.cjs"
    program.write_text(_COMMONJS)
    variables = {"URL": endpoint.url, "BUSINESS_ID": business_id, "API_KEY": api_key}
    assert run("node", str(program), cwd=None, **variables) == f"{business_id} true\n"


_COMMONJS = """
const { ApiError, Nivisco } = require("@nivisco/client");
const { URL: url, BUSINESS_ID: businessId, API_KEY: apiKey } = process.env;
const nivisco = new Nivisco({ url, businessId, apiKey });
nivisco.validateBusiness().then(async ({ business }) => {
  const error = await nivisco.getUserInfo({ userId: "USR-0" }).catch((error) => error);
  console.log(business.businessId, error instanceof ApiError);
});
"""


_TYPED = """
import { type Payment, ErrorCode, Nivisco } from "@nivisco/client";

export async function newest(nivisco: Nivisco): Promise<Payment | undefined> {
  for await (const payment of nivisco.iteratePaymentRecords({ fromDate: new Date() })) {
    const at: Date = payment.createdAt;
    if (at > new Date(0) && ErrorCode.CARD_DECLINED !== undefined) return payment;
  }
  return undefined;
}
"""


@_NODE
@pytest.mark.parametrize(
    ("module", "resolution", "endings"),
    [("node16", "node16", ("mts", "cts")), ("esnext", "bundler", ("ts",))],
    ids=["node16", "bundler"],
)
def test_the_npm_package_has_types(
    built: Path, module: str, resolution: str, endings: tuple[str, ...]
) -> None:
    project = built.parents[4]
    files = [f"typed.{ending}" for ending in endings]
    for file in files:
        (project / file).write_text(_TYPED)
    compiler = str(ROOT / "clients" / "typescript" / "node_modules" / "typescript" / "bin" / "tsc")
    options = ["--noEmit", "--strict", "--target", "es2022"]
    run(
        *("node", compiler, *options, "--module", module, "--moduleResolution", resolution, *files),
        cwd=project,
    )
