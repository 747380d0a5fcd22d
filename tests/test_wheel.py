"""The wheel, built and installed into an empty environment by the standard tools, runs."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.end_to_end.test_processes import (
    RUNNING,
    a_day_of_business,
    admin_client,
    new_merchant,
)
from tests.optional_programs import ROOT, needs
from tests.processes import FREE_PORTS, Running

pytestmark = needs("package index")


def run(*command: str | Path, **variables: str) -> str:
    """Run a command without what this environment adds to Python's path; return its output."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        command, env=kept | variables, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(sys.executable, "-m", "pip", *build, "--wheel-dir", folder, ROOT)
    (built,) = folder.iterdir()
    return built


def by_pip(wheel: Path, folder: Path) -> Path:
    run(sys.executable, "-m", "venv", folder / "venv")
    run(folder / "venv" / "bin" / "pip", "install", "--quiet", wheel)
    return folder / "venv" / "bin" / "nivisco"


def by_uv(wheel: Path, folder: Path) -> Path:
    uv = Path(sys.executable).with_name("uv")
    folders = {"UV_TOOL_DIR": str(folder / "tools"), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    run(uv, "tool", "install", "--quiet", "--python", sys.executable, wheel, **folders)
    return folder / "bin" / "nivisco"


@pytest.fixture
def started() -> Iterator[list[Running]]:
    processes: list[Running] = []
    yield processes
    for process in processes:
        process.end()


@pytest.mark.parametrize("install", [by_pip, by_uv])
async def test_an_installed_wheel_serves_both_gateways(
    install: Callable[[Path, Path], Path], wheel: Path, tmp_path: Path, started: list[Running]
) -> None:
    command = install(wheel, tmp_path)

    data_dir = tmp_path / "data"
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("NIVISCO_", "PYTHON"))}
    up = Running([str(command), "up", "--data-dir", str(data_dir), *FREE_PORTS], kept)
    started.append(up)
    printed = up.wait_for(RUNNING)
    async with aiohttp.ClientSession() as session:
        admin = admin_client(printed, data_dir, session)
        await a_day_of_business(await new_merchant(admin))
        async with session.get(admin.url + "/docs") as page:
            assert "charge_customer" in await page.text()


def test_a_python_that_its_dependencies_do_not_support_is_refused_at_once(
    wheel: Path, tmp_path: Path
) -> None:
    later = ("--python-version", "3.13", "--only-binary=:all:", "--no-deps")
    command = (sys.executable, "-m", "pip", "download", *later, "--dest", str(tmp_path), str(wheel))
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "requires a different Python: 3.13" in ended.stderr
    assert "not in '<3.13,>=3.11'" in ended.stderr


def test_uv_which_ignores_that_bound_finds_no_solution_and_builds_nothing(wheel: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    command = (uv, "pip", "compile", "--no-config", "--quiet", "--python-version", "3.13", "-")
    ended = subprocess.run(command, input=str(wheel), capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "No solution found" in ended.stderr
    assert "lxml" in ended.stderr
