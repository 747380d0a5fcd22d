"""TLS and unix sockets between real processes, and settings that they refuse to start with."""

import http.client
import json
import signal
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from cli.core_access import core_client
from tests.certificates import Authority, Issued
from tests.processes import Running, Start, serving_line
from tests.tls_probing import Address, pinned, shake_hands

_CLI = ("-P", "-m", "cli")
_TOKEN = "operator-token-for-tests-" + "0" * 16
_SCHEDULERS_TOKEN = "scheduler-token-for-tests-" + "0" * 16
_PATIENCE_SECONDS = 60.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def core_settings(tmp_path: Path) -> dict[str, str]:
    return {
        "NIVISCO_DATABASE_URL": f"sqlite:///{tmp_path}/nivisco.db",
        "NIVISCO_SECRET_KEYS": "k1:" + "A" * 43 + "=",
        "NIVISCO_SERVICE_TOKENS": f"operator:{_TOKEN},scheduler:{_SCHEDULERS_TOKEN}",
        "NIVISCO_MIGRATE": "1",
    }


def public_tls(certificate: Issued) -> dict[str, str]:
    return {
        "NIVISCO_TLS_CERTIFICATE_FILE": str(certificate.certificate_file),
        "NIVISCO_TLS_KEY_FILE": str(certificate.key_file),
    }


def core_tls(authority: Authority, certificate: Issued) -> dict[str, str]:
    return {
        "NIVISCO_GRPC_TLS_CERTIFICATE_FILE": str(certificate.certificate_file),
        "NIVISCO_GRPC_TLS_KEY_FILE": str(certificate.key_file),
        "NIVISCO_GRPC_TLS_CLIENT_CA_FILE": str(authority.file),
    }


def client_tls(authority: Authority, certificate: Issued) -> dict[str, str]:
    return {
        "NIVISCO_CORE_TLS_CERTIFICATE_FILE": str(certificate.certificate_file),
        "NIVISCO_CORE_TLS_KEY_FILE": str(certificate.key_file),
        "NIVISCO_CORE_TLS_CA_FILE": str(authority.file),
    }


def port_of(process: Running, name: str) -> int:
    return int(process.wait_for_match(serving_line(name))[1].rpartition(":")[2])


def lines_of(process: Running) -> list[dict[str, str]]:
    """Return every line that the process wrote; all must be JSON."""
    return [json.loads(line) for line in process.printed.splitlines()]


async def shown(address: Address, context: Callable[[], ssl.SSLContext]) -> int | None:
    return (await shake_hands(address, context(), alpn=["h2", "http/1.1"])).serial_number


def alive(connection: http.client.HTTPConnection) -> bool:
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    return answer.read() == b'{"status":"alive"}'


def test_the_adapter_reloads_its_certificate_on_sighup(start: Start, authority: Authority) -> None:
    server = authority.issue("server")
    adapter = start(*_CLI, "adapter", "--http", "127.0.0.1:0", **public_tls(server))
    port = port_of(adapter, "adapter")
    assert f"https://127.0.0.1:{port}" in adapter.printed
    trust = ssl.create_default_context(cafile=authority.file)

    closing = ExitStack()

    def connect() -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=trust)
        closing.callback(connection.close)
        connection.connect()
        return connection

    def serial(connection: http.client.HTTPSConnection) -> int:
        sock = connection.sock
        assert isinstance(sock, ssl.SSLSocket)
        certificate = sock.getpeercert()
        assert certificate is not None
        return int(str(certificate["serialNumber"]), 16)

    with closing:
        old = connect()
        assert alive(old)
        server.certificate_file.write_text("obviously no certificate")
        adapter.signal(signal.SIGHUP)
        adapter.wait_for('"reason": "NIVISCO_TLS_CERTIFICATE_FILE')
        assert serial(connect()) == server.certificate.serial_number
        renewed = authority.issue("server")
        adapter.signal(signal.SIGHUP)
        adapter.wait_for("certificate reloaded")
        new = connect()
        assert serial(new) == renewed.certificate.serial_number
        assert serial(old) == server.certificate.serial_number
        assert alive(new)
        assert alive(old)
    adapter.signal(signal.SIGTERM)
    assert adapter.wait() == 0
    levels = [line["level"] for line in lines_of(adapter)]
    assert levels.count("ERROR") == 1


@pytest.mark.parametrize("command", ["core", "adapter"])
def test_sighup_is_ignored_without_certificates(start: Start, tmp_path: Path, command: str) -> None:
    settings = core_settings(tmp_path) if command == "core" else {"NIVISCO_HTTP": "127.0.0.1:0"}
    process = start(*_CLI, command, **({"NIVISCO_GRPC": "127.0.0.1:0"} | settings))
    process.wait_for_match(serving_line(command))
    process.signal(signal.SIGHUP)
    process.wait_for("SIGHUP ignored, there is nothing to reload")
    process.signal(signal.SIGTERM)
    assert process.wait() == 0


def test_all_processes_work_over_a_unix_socket(start: Start, tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/core.sock"
    core = start(*_CLI, "core", "--grpc", target, **core_settings(tmp_path))
    assert core.wait_for_match(serving_line("core"))[1] == target
    adapter = start(*_CLI, "adapter", "--http", "127.0.0.1:0", NIVISCO_CORE=target)
    credentials = created_admin(start, target)
    url = f"http://127.0.0.1:{port_of(adapter, 'adapter')}/"
    assert validated(start, credentials, "--url", url)
    assert validated(start, credentials, "--grpc", "--core", target)
    scheduler_is_served(start, target)
    core.signal(signal.SIGTERM)
    assert core.wait() == 0
    assert not (tmp_path / "core.sock").exists()


async def test_all_processes_work_over_mutual_tls(
    start: Start, tmp_path: Path, authority: Authority
) -> None:
    server, client = authority.issue("core"), authority.issue("adapter", ())
    both = core_settings(tmp_path) | core_tls(authority, server)
    core = start(*_CLI, "core", "--grpc", "0.0.0.0:0", **both)
    address = ("127.0.0.1", port_of(core, "core"))
    target = f"localhost:{address[1]}"
    proof = client_tls(authority, client)
    adapter = start(*_CLI, "adapter", "--http", "127.0.0.1:0", NIVISCO_CORE=target, **proof)
    credentials = created_admin(start, target, **proof)
    url = f"http://127.0.0.1:{port_of(adapter, 'adapter')}/"
    assert validated(start, credentials, "--url", url)
    assert validated(start, credentials, "--grpc", "--core", target, **proof)
    assert not validated(start, credentials, "--grpc", "--core", target)
    scheduler_is_served(start, target, **proof)

    def probe() -> ssl.SSLContext:
        return pinned(ssl.TLSVersion.TLSv1_3, certificate=client)

    assert await shown(address, probe) == server.certificate.serial_number
    renewed = authority.issue("core")
    core.signal(signal.SIGHUP)
    core.wait_for("certificates reloaded")
    assert await shown(address, probe) == renewed.certificate.serial_number
    assert validated(start, credentials, "--url", url)
    core.signal(signal.SIGTERM)
    assert core.wait() == 0
    assert [line for line in lines_of(core) if line["level"] != "INFO"] == []


def scheduler_is_served(start: Start, target: str, **proof: str) -> None:
    scheduler = start(
        *(*_CLI, "scheduler", "--http", "127.0.0.1:0", "--core", target),
        **{"NIVISCO_SERVICE_TOKEN": _SCHEDULERS_TOKEN, **proof},
    )
    scheduler.wait_for("claim succeeded, scheduler is ready")
    scheduler.signal(signal.SIGTERM)
    assert scheduler.wait() == 0


def created_admin(start: Start, target: str, **proof: str) -> dict[str, str]:
    command = start(
        *_CLI, "admin", "create", "--core", target, NIVISCO_SERVICE_TOKEN=_TOKEN, **proof
    )
    assert command.wait() == 0, command.printed
    made = json.loads(command.printed)
    return {"NIVISCO_BUSINESS_ID": made["business_id"], "NIVISCO_API_KEY": made["api_key"]}


def validated(start: Start, credentials: dict[str, str], *how: str, **proof: str) -> bool:
    """Return whether the credentials are valid; over JSON, retry until the adapter responds."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        command = start(*_CLI, "call", *how, "validate_business", **credentials, **proof)
        if command.wait() == 0:
            return True
        if "--grpc" in how or time.monotonic() > deadline:
            assert "SERVICE_UNAVAILABLE" in command.printed
            return False


REFUSALS: dict[str, tuple[Sequence[str], dict[str, str], str]] = {
    "plain HTTP on every interface": (
        ("adapter", "--http", "0.0.0.0:0"),
        {},
        "Error: NIVISCO_HTTP 0.0.0.0:0 can be reached from other machines",
    ),
    "a certificate without its key": (
        ("adapter",),
        {"NIVISCO_TLS_CERTIFICATE_FILE": "/no/such.pem"},
        "Error: NIVISCO_TLS_CERTIFICATE_FILE needs NIVISCO_TLS_KEY_FILE too",
    ),
    "a certificate that is not there": (
        ("adapter",),
        {"NIVISCO_TLS_CERTIFICATE_FILE": "/no/c.pem", "NIVISCO_TLS_KEY_FILE": "/no/k.pem"},
        "Error: NIVISCO_TLS_CERTIFICATE_FILE (/no/c.pem) does not exist: name a PEM file.",
    ),
    "a proxy's name": (
        ("adapter",),
        {"NIVISCO_TRUSTED_PROXIES": "nginx"},
        "Error: NIVISCO_TRUSTED_PROXIES: 'nginx' is not an IP address or network",
    ),
    "a core elsewhere, plain": (
        ("adapter", "--http", "127.0.0.1:0", "--core", "192.0.2.1:50051"),
        {},
        "Error: The core at 192.0.2.1:50051 (NIVISCO_CORE) is not on this machine's loopback",
    ),
    "a call of a core elsewhere, plain": (
        ("call", "--grpc", "--core", "192.0.2.1:50051", "validate_business"),
        {"NIVISCO_BUSINESS_ID": "b", "NIVISCO_API_KEY": "k"},
        "Error: The core at 192.0.2.1:50051 (NIVISCO_CORE) is not on this machine's loopback",
    ),
    "an operator's token for a core elsewhere, plain": (
        ("admin", "create", "--core", "192.0.2.1:50051"),
        {"NIVISCO_SERVICE_TOKEN": _TOKEN},
        "Error: The core at 192.0.2.1:50051 (NIVISCO_CORE) is not on this machine's loopback",
    ),
    "plain gRPC on every interface": (
        ("core", "--grpc", "0.0.0.0:0"),
        core_settings(Path("/no/such")),
        "Error: NIVISCO_GRPC 0.0.0.0:0 can be reached from other machines, which needs mutual TLS",
    ),
    "a core's certificate without the clients' authority": (
        ("core",),
        core_settings(Path("/no/such"))
        | {
            "NIVISCO_GRPC_TLS_CERTIFICATE_FILE": "/no/c.pem",
            "NIVISCO_GRPC_TLS_KEY_FILE": "/no/k.pem",
        },
        "NIVISCO_GRPC_TLS_KEY_FILE needs NIVISCO_GRPC_TLS_CLIENT_CA_FILE too: set all of them",
    ),
    "a relative socket": (
        ("core", "--grpc", "unix:core.sock"),
        core_settings(Path("/no/such")),
        "'unix:core.sock' is not unix:/path",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_unsafe_settings_are_refused(start: Start, case: str) -> None:
    command, settings, message = REFUSALS[case]
    process = start(*_CLI, *command, **settings)
    assert process.wait() == 2
    assert message in process.printed
    assert "Traceback" not in process.printed


@pytest.mark.parametrize(("setting", "name"), [("", "core.internal"), ("other", "other")])
async def test_a_core_found_by_its_name_is_verified_by_that_name(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, setting: str, name: str
) -> None:
    certificate = authority.issue("client")
    for key, value in client_tls(authority, certificate).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("NIVISCO_CORE_TLS_SERVER_NAME", setting)
    client = core_client("127.0.0.1:50051", "core.internal")
    assert client._tls is not None
    assert client._tls.channel_options() == [("grpc.default_authority", name)]
    await client.close()
