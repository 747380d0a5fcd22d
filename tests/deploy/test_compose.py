"""The compose file: what it names exists, each process is confined and has its secrets only."""

import re
from typing import Any

import pytest
import yaml
from click import Context

from cli.main import main
from cli.settings import PROCESSES
from tests.optional_programs import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)


def test_it_has_all_that_an_installation_needs() -> None:
    replicas = {name: SERVICES[name].get("deploy", {}).get("replicas", 1) for name in SERVICES}
    assert replicas.items() >= {"core": 2, "adapter": 2, "scheduler": 1, "postgres": 1}.items()
    assert {"migrate", "caddy", "prometheus"} <= SERVICES.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_is_defined(name: str) -> None:
    service = SERVICES[name]
    configs = {each["source"] for each in service.get("configs", [])}
    volumes = {each.partition(":")[0] for each in service.get("volumes", [])}
    assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
    assert configs <= COMPOSE["configs"].keys()
    assert volumes <= COMPOSE["volumes"].keys()
    assert set(service["networks"]) <= COMPOSE["networks"].keys()
    assert set(service.get("depends_on", ())) <= SERVICES.keys()


def test_its_files_exist_or_are_made_by_secrets_sh() -> None:
    assert all((DEPLOY / each["file"]).is_file() for each in COMPOSE["configs"].values())
    script = (DEPLOY / "secrets.sh").read_text()
    for name, secret in COMPOSE["secrets"].items():
        assert secret["file"].endswith(f"/{name}")
        stem = name.removesuffix(".pem").removesuffix(".key").removesuffix("_token")
        assert re.search(rf"\b{stem}\b", script), name


@pytest.mark.parametrize("name", OURS)
def test_a_process_of_ours_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in service
    command, *_ = service.get("command", ["admin"])
    assert command in main.list_commands(Context(main))


@pytest.mark.parametrize("name", sorted({*OURS} & {*PROCESSES} - {"sandbox"}))
def test_a_process_has_the_secrets_that_its_settings_name_and_no_others(name: str) -> None:
    shared, *tables = re.split(
        r"^\[(\w+)\]$", (DEPLOY / "compose/nivisco.toml").read_text(), flags=re.M
    )
    of_process = dict(zip(tables[::2], tables[1::2], strict=True))[name]
    named = set(re.findall(r"/run/secrets/([\w.]+)", of_process))
    if name != "core":
        named |= set(re.findall(r"/run/secrets/([\w.]+)", shared))
    assert set(SERVICES[name]["secrets"]) == named


def test_only_the_proxy_is_reachable_from_other_machines() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == ["80:80", "443:443"]


def test_the_proxy_has_the_address_that_the_adapters_trust() -> None:
    address = SERVICES["caddy"]["networks"]["proxy"]["ipv4_address"]
    assert f'trusted_proxies = "{address}"' in (DEPLOY / "compose/nivisco.toml").read_text()
