"""What deploy/ sets: its settings exist, and start every process with what secrets.sh makes."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from cli.settings import CONFIG, SETTINGS
from tests.optional_programs import ROOT

DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
PROCESSES = ("core", "adapter", "scheduler")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_setting_that_is_named_exists(path: Path) -> None:
    known = {CONFIG, *SETTINGS} | {each.file_variable for each in SETTINGS.values()}
    assert set(re.findall(r"NIVISCO_[A-Z_]+[A-Z]", path.read_text())) - known == set()


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deploy") / "secrets"
    subprocess.run(["sh", DEPLOY / "secrets.sh", folder], check=True)
    return folder


def check(
    config: Path, process: str, folder: Path, variables: Mapping[str, str] | None = None
) -> str:
    """Return the output of `nivisco config check` with the secrets in their place."""
    mounted = re.sub(r"/run/secrets(/nivisco)?/", f"{folder}/", config.read_text())
    moved = folder.parent / "nivisco.toml"
    moved.write_text(mounted.replace("/run/nivisco/", f"{folder}/"))
    arguments = ["config", "check", process, "--config", str(moved)]
    result = CliRunner().invoke(main, arguments, env=variables)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("process", PROCESSES)
def test_compose_has_what_each_process_needs(process: str, secrets: Path) -> None:
    assert "not a setting" not in check(DEPLOY / "compose/nivisco.toml", process, secrets)


@pytest.mark.parametrize("process", PROCESSES)
def test_kubernetes_has_what_each_process_needs(process: str, secrets: Path) -> None:
    proxies = {"NIVISCO_TRUSTED_PROXIES": "10.244.0.0/16"} if process == "adapter" else {}
    check(DEPLOY / "kubernetes/base/nivisco.toml", process, secrets, proxies)


@pytest.mark.parametrize("process", PROCESSES)
def test_systemd_has_what_each_process_needs(process: str, secrets: Path) -> None:
    unit = (DEPLOY / f"systemd/nivisco-{process}.service").read_text()
    loaded = dict(re.findall(r"^LoadCredential=(\w+):/etc/nivisco/secrets/(\w+)$", unit, re.M))
    given = re.findall(r"^Environment=(\w+)=%d/(\w+)$", unit, re.M)
    variables = {name: str(secrets / loaded[credential]) for name, credential in given}
    check(DEPLOY / "systemd/nivisco.toml", process, secrets, variables)


def test_secrets_are_made_once(secrets: Path) -> None:
    kept = (secrets / "secret_keys").read_text()
    again = subprocess.run(["sh", DEPLOY / "secrets.sh", secrets], capture_output=True, check=False)
    assert (again.returncode, (secrets / "secret_keys").read_text()) == (1, kept)
    assert secrets.stat().st_mode & 0o777 == 0o700
    open_to_others = [each.name for each in secrets.iterdir() if each.stat().st_mode & 0o077]
    assert open_to_others == ["postgres_password"]


def test_secrets_are_not_made_by_halves(tmp_path: Path) -> None:
    (tmp_path / "openssl").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "openssl").chmod(0o755)
    made = tmp_path / "secrets"
    path = f"{tmp_path}:/usr/bin:/bin"
    ended = subprocess.run(["sh", DEPLOY / "secrets.sh", made], env={"PATH": path}, check=False)
    assert (ended.returncode, list(made.iterdir())) == (1, [])
