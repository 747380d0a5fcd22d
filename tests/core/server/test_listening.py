"""The core listens on loopback, on a unix socket, or with mutual TLS."""

import logging
import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from core.server.listening import Listener
from core.server.settings import CoreSettings
from rpc.certificates import MutualTlsFiles, mutual_tls_files
from rpc.client import CoreClient
from rpc.errors import CoreError
from rpc.tls import ClientTls
from tests.certificates import Authority, Issued
from tests.core.running import create_admin, running_core, settings_for
from tests.tls_probing import (
    NEW_VERSIONS,
    OLD_VERSIONS,
    REFUSED,
    WEAK_CIPHERS,
    Address,
    pinned,
    shake_hands,
)

_SETTINGS = (
    "NIVISCO_GRPC_TLS_CERTIFICATE_FILE",
    "NIVISCO_GRPC_TLS_KEY_FILE",
    "NIVISCO_GRPC_TLS_CLIENT_CA_FILE",
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Issued:
    return authority.issue("core")


@pytest.fixture
def client(authority: Authority) -> Issued:
    return authority.issue("adapter", ())


@pytest.fixture
def files(authority: Authority, server: Issued) -> MutualTlsFiles:
    paths = (str(server.certificate_file), str(server.key_file), str(authority.file))
    found = mutual_tls_files(dict(zip(_SETTINGS, paths, strict=True)), *_SETTINGS)
    assert found is not None
    return found


@pytest.fixture
def settings(tmp_path: Path, files: MutualTlsFiles) -> CoreSettings:
    return settings_for(tmp_path, tls=files)


def proof(authority: Authority, client: Issued, **changes: Any) -> ClientTls:
    tls = ClientTls(authority.file.read_bytes(), client.pem, client.key_pem)
    return replace(tls, **changes)


def address_of(core: CoreClient) -> Address:
    host, _, port = core.target.rpartition(":")
    return host, int(port)


@asynccontextmanager
async def calling(target: str, tls: ClientTls | None) -> AsyncIterator[CoreClient]:
    client = CoreClient(target, tls)
    try:
        yield client
    finally:
        await client.close()


async def test_a_client_with_a_certificate_is_served(
    settings: CoreSettings, authority: Authority, client: Issued
) -> None:
    async with running_core(settings, tls=proof(authority, client)) as core:
        assert (await create_admin(core)).business_id == "ADMIN-BUSINESS"


async def test_other_clients_are_refused_before_they_send_anything(
    tmp_path: Path, settings: CoreSettings, authority: Authority, client: Issued
) -> None:
    good = proof(authority, client)
    stranger = Authority(tmp_path, "strangers").issue("stranger", ())
    another = Authority(tmp_path, "another").file.read_bytes()
    async with running_core(settings, tls=good) as core:
        for wrong in (
            None,
            replace(good, certificate_chain=stranger.pem, private_key=stranger.key_pem),
            replace(good, root_certificates=another),
            replace(good, server_name="other.example"),
        ):
            async with calling(core.target, wrong) as caller:
                with pytest.raises(CoreError) as refusal:
                    await create_admin(caller)
                assert refusal.value.reason == "SERVICE_UNAVAILABLE"
        assert await core.is_ready(timeout_seconds=5)


async def test_a_client_without_a_certificate_is_refused(
    settings: CoreSettings, authority: Authority, client: Issued
) -> None:
    async with running_core(settings, tls=proof(authority, client)) as core:
        credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
        async with grpc.aio.secure_channel(core.target, credentials) as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check", bytes, bytes)
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await check(b"", timeout=10)
        assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_several_cores_are_trusted_by_the_server_name_setting(
    settings: CoreSettings, authority: Authority, client: Issued
) -> None:
    tls = proof(authority, client)
    async with running_core(settings, tls=tls) as core:
        named = replace(tls, server_name="localhost")
        async with calling(f"{core.target},{core.target}", named) as caller:
            assert await caller.is_ready(timeout_seconds=5)


async def test_only_tls_1_2_and_1_3_with_strong_ciphers_are_accepted(
    settings: CoreSettings, authority: Authority, client: Issued
) -> None:
    async with running_core(settings, tls=proof(authority, client)) as core:
        address = address_of(core)
        for version in NEW_VERSIONS:
            agreed = await shake_hands(address, pinned(version, certificate=client), alpn=["h2"])
            assert agreed.version == version.name.replace("_", ".")
        for version in OLD_VERSIONS:
            with pytest.raises(REFUSED):
                await shake_hands(address, pinned(version, certificate=client), alpn=["h2"])
        for cipher in WEAK_CIPHERS:
            context = pinned(ssl.TLSVersion.TLSv1_2, cipher, certificate=client)
            with pytest.raises(REFUSED):
                await shake_hands(address, context, alpn=["h2"])


async def test_new_connections_use_reloaded_certificates_and_open_ones_stay(
    settings: CoreSettings,
    authority: Authority,
    server: Issued,
    client: Issued,
    caplog: pytest.LogCaptureFixture,
) -> None:
    reloads: list[Callable[[], None]] = []

    async def shown(core: CoreClient) -> int | None:
        context = pinned(ssl.TLSVersion.TLSv1_3, certificate=client)
        return (await shake_hands(address_of(core), context, alpn=["h2"])).serial_number

    tls = proof(authority, client)
    async with running_core(settings, tls=tls, on_hangup=reloads.append) as core:
        [reload] = reloads
        assert await core.is_ready(timeout_seconds=5)
        assert await shown(core) == server.certificate.serial_number

        server.key_file.write_text("obviously no key")
        reload()
        [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
        assert record.getMessage() == "certificates not reloaded"
        assert "NIVISCO_GRPC_TLS_KEY_FILE" in record.__dict__["reason"]
        assert "obviously" not in record.__dict__["reason"]
        assert await shown(core) == server.certificate.serial_number

        renewed = authority.issue("core")  # into the same files
        reload()
        for _ in range(3):
            assert await shown(core) == renewed.certificate.serial_number
        assert await core.is_ready(timeout_seconds=5)  # on the open connection


async def test_the_clients_authority_can_change_while_the_core_serves(
    tmp_path: Path, settings: CoreSettings, authority: Authority, client: Issued
) -> None:
    second = Authority(tmp_path, "second")
    other = second.issue("other", ())
    old = proof(authority, client)
    new = replace(old, certificate_chain=other.pem, private_key=other.key_pem)
    first_pem = authority.file.read_bytes()
    reloads: list[Callable[[], None]] = []

    async def served(target: str, tls: ClientTls) -> bool:
        async with calling(target, tls) as caller:
            return await caller.is_ready(timeout_seconds=5)

    async with running_core(settings, tls=old, on_hangup=reloads.append) as core:
        for accepted, believed in [
            (first_pem, (True, False)),
            (first_pem + second.file.read_bytes(), (True, True)),
            (second.file.read_bytes(), (False, True)),
        ]:
            authority.file.write_bytes(accepted)
            reloads[0]()
            assert (await served(core.target, old), await served(core.target, new)) == believed


NEEDS_TLS = (
    "needs mutual TLS: set NIVISCO_GRPC_TLS_CERTIFICATE_FILE, .+_CLIENT_CA_FILE, or listen on"
)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:50051", "0:50051"])
async def test_a_core_without_mutual_tls_does_not_start_on_other_addresses(
    tmp_path: Path, address: str
) -> None:
    database = tmp_path / "new.db"
    settings = settings_for(tmp_path, listen=address, database_url=f"sqlite:///{database}")
    with pytest.raises(ValueError, match=NEEDS_TLS):
        async with running_core(settings):
            pass
    assert not database.exists()


async def test_a_name_with_one_other_address_is_not_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [(0, 0, 0, "", (address, 0)) for address in ("::1", "192.0.2.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(ValueError, match=NEEDS_TLS):
        Listener("both.example:50051", None)


@pytest.mark.parametrize("missing", _SETTINGS)
def test_all_three_tls_settings_are_needed(missing: str) -> None:
    good = {"NIVISCO_DATABASE_URL": "sqlite:////x", "NIVISCO_SECRET_KEYS": "k:" + "A" * 43 + "="}
    given = {name: "/x.pem" for name in _SETTINGS if name != missing}
    with pytest.raises(ValueError, match=f"needs {missing} too"):
        CoreSettings.from_environment(good | given)


@pytest.mark.parametrize("address", ["50051", ":50051", "127.0.0.1:", "127.0.0.1:x", "/run/s"])
def test_a_malformed_address_is_refused_with_the_accepted_forms(address: str) -> None:
    with pytest.raises(ValueError, match=r"NIVISCO_GRPC must be host:port .* or unix:/path"):
        Listener(address, None)


def test_an_unknown_host_is_refused() -> None:
    with pytest.raises(OSError, match=r"no-such-host\.invalid is not known"):
        Listener("no-such-host.invalid:1", None)


async def test_a_unix_socket_is_private_and_removed_at_the_stop(tmp_path: Path) -> None:
    path = tmp_path / "core.sock"
    async with running_core(settings_for(tmp_path, listen=f"unix:{path}")) as core:
        assert core.target == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (await create_admin(core)).api_key
    assert not path.exists()
    (tmp_path / "after").touch()
    assert (tmp_path / "after").stat().st_mode & 0o400, "the umask is restored"


async def test_a_socket_that_another_process_listens_on_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "core.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen(0)
        fills = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        try:
            for fill in fills:  # also where its queue is full
                with pytest.raises(OSError, match="another process listens there"):
                    Listener(f"unix:{path}", None).open(grpc.aio.server())
                fill.setblocking(False)
                fill.connect_ex(str(path))
        finally:
            for fill in fills:
                fill.close()
        assert path.is_socket()


async def test_the_socket_of_a_killed_core_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "core.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.is_socket()
    async with running_core(settings_for(tmp_path, listen=f"unix:{path}")) as core:
        assert await core.is_ready(timeout_seconds=5)


async def test_a_file_that_is_not_a_socket_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "core.sock"
    path.write_text("precious")
    with pytest.raises(OSError, match="a file that is not a socket"):
        Listener(f"unix:{path}", None).open(grpc.aio.server())
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="a file that is not a socket"):
        Listener(f"unix:{path}", None).open(grpc.aio.server())


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("unix:core.sock", "by an absolute path"),
        ("unix:", "by an absolute path"),
        ("unix:/" + "x" * 107, "at most 107 bytes"),
        ("unix:/no-such-directory/core.sock", "/no-such-directory cannot be used: No such file"),
    ],
)
def test_an_unusable_path_is_refused(address: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Listener(address, None)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(ValueError, match="others may write to"):
        Listener(f"unix:{directory}/core.sock", None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "theirs"
    directory.mkdir(0o700)
    os.chown(directory, 4242, 4242)
    with pytest.raises(ValueError, match="others may write to"):
        Listener(f"unix:{directory}/core.sock", None)


def test_a_unix_socket_takes_no_tls(tmp_path: Path, files: MutualTlsFiles) -> None:
    with pytest.raises(ValueError, match="takes no TLS"):
        Listener(f"unix:{tmp_path}/core.sock", files)


async def test_the_log_says_why_a_core_is_not_trusted(
    tmp_path: Path,
    settings: CoreSettings,
    authority: Authority,
    client: Issued,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = proof(authority, client)
    async with (
        running_core(settings, tls=good) as core,
        calling(core.target, replace(good, server_name="other.example")) as caller,
    ):
        with pytest.raises(CoreError) as refusal:
            await create_admin(caller)
        assert not await caller.is_ready(timeout_seconds=5)
    assert "Hostname" not in str(refusal.value)
    records = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert [each.getMessage() for each in records] == ["core unreachable"] * 2
    for record in records:
        assert "Hostname Verification Check failed" in record.__dict__["reason"]
