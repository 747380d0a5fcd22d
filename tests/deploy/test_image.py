"""The image, built by the steps of the Containerfile, serves read-only and without privileges."""

import os
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.deploy.containerfile import Image, build, instructions, link_or_copy
from tests.deploy.locked import installed, locked
from tests.optional_programs import ROOT, needs
from tests.processes import Running, serving_line

CONTAINERFILE = ROOT / "deploy" / "Containerfile"
FROM_THE_INDEX = "--require-hashes -r requirements.lock"
pytestmark = needs("mount namespaces")


def copy_what_is_installed(image: Image, command: str) -> bool:
    """Install the lock from this environment, which has the same versions, without the index.

    `make deploy-test` does not, and takes a minute.
    """
    if FROM_THE_INDEX not in command or os.environ.get("IMAGE_FROM_INDEX"):
        return False
    (target,) = (image.root / "opt/nivisco/lib").glob("python*/site-packages")
    for requirement in locked():
        found = installed(requirement)
        for file in found.files or ():
            source = Path(str(found.locate_file(file)))
            if ".." not in file.parts and source.is_file():
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(str(source), str(target / file))
    return True


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)
    yield build(CONTAINERFILE, ROOT, folder, copy_what_is_installed)
    shutil.rmtree(folder)


@pytest.fixture
def started() -> Iterator[list[Running]]:
    processes: list[Running] = []
    yield processes
    for process in processes:
        process.end()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_it_serves_read_only_and_without_privileges(image: Image, started: list[Running]) -> None:
    settings = {"NIVISCO_METRICS": f"127.0.0.1:{free_port()}", "NIVISCO_HTTP": "127.0.0.1:0"}
    command = image.in_namespaces([*image.entrypoint, "adapter"], read_only=True, **settings)
    adapter = Running(command, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    started.append(adapter)
    url = adapter.wait_for_match(serving_line("adapter"))[1]
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=30) as answer:  # noqa: S310 - ours
        assert b"charge_customer" in answer.read()
    image.run(image.health_check, read_only=True, **settings)
    with pytest.raises(AssertionError):
        image.run(image.health_check, NIVISCO_METRICS=f"127.0.0.1:{free_port()}")


LOOK = """
import os, shutil
assert os.getresuid() == (65532,) * 3 and os.getresgid() == (65532,) * 3, os.getresuid()
assert os.getgroups() in ([], [65532]), os.getgroups()
for path in ("/", "/opt/nivisco", "/usr"):
    assert os.statvfs(path).f_flag & os.ST_RDONLY, path
print(*(name for name in ("cc", "gcc", "g++", "make", "pip", "pytest") if shutil.which(name)))
import rpc.otel, core.server.composition, adapter.server, scheduler.server, sandbox.server
print(core.__file__)
"""


def test_its_process_has_no_privilege_and_no_tools(image: Image) -> None:
    own = {"PATH": "/opt/nivisco/bin"}  # the rest is the base image's
    tools, path = image.run(["python", "-c", LOOK], read_only=True, **own).splitlines()
    assert tools == ""
    assert path.startswith("/opt/nivisco/lib/")


def test_it_has_what_the_lock_names_and_nothing_of_the_build_or_the_tests(image: Image) -> None:
    (packages,) = (image.root / "opt/nivisco/lib").glob("python*/site-packages")
    there = {each.name.partition("-")[0] for each in packages.glob("*.dist-info")}
    tools = {"editables", "hatchling", "packaging", "pathspec", "pluggy", "trove_classifiers"}
    wanted = {each.name.replace("-", "_").lower() for each in locked()} | {"nivisco"}
    assert {each.lower() for each in there} == wanted - tools
    assert not (packages / "tests").exists()
    assert not (image.root / "src").exists()


def test_what_it_installs_does_without_the_build_tools() -> None:
    _, uninstalled = next(
        (name, rest) for name, rest in instructions(CONTAINERFILE.read_text()) if "uninst" in rest
    )
    tools = set(uninstalled.partition("--quiet ")[2].split())
    for requirement in locked():
        if requirement.name not in tools:
            wanted = [Requirement(each) for each in installed(requirement).requires or ()]
            needed = [
                each for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})
            ]
            assert not tools & {each.name for each in needed}, requirement.name


def test_every_instruction_copies_from_what_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name, rest in instructions(CONTAINERFILE.read_text()):
        if name == "COPY" and not rest.startswith("--from"):
            assert all(f"!{source}" in ignored for source in rest.split()[:-1]), rest
