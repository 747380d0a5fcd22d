"""The public endpoint over TLS: versions, ciphers, reloading the certificate."""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from adapter.server import serve
from adapter.settings import AdapterSettings
from rpc.certificates import KeyPairFiles, NamedFile
from tests.adapter.running import CREDENTIALS, AdapterClient, running_adapter
from tests.certificates import Authority, Issued
from tests.tls_probing import (
    NEW_VERSIONS,
    OLD_VERSIONS,
    REFUSED,
    WEAK_CIPHERS,
    lax_server,
    pinned,
    shake_hands,
)

VALIDATE = json.dumps({**CREDENTIALS, "action": "validate_business"}).encode()
HSTS = "Strict-Transport-Security"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def certificate(authority: Authority) -> Issued:
    return authority.issue("server")


@pytest.fixture
def tls(settings: AdapterSettings, certificate: Issued) -> AdapterSettings:
    files = KeyPairFiles(
        NamedFile("NIVISCO_TLS_CERTIFICATE_FILE", str(certificate.certificate_file)),
        NamedFile("NIVISCO_TLS_KEY_FILE", str(certificate.key_file)),
    )
    return replace(settings, tls=files)


@pytest.fixture
async def secure(tls: AdapterSettings) -> AsyncIterator[AdapterClient]:
    async with running_adapter(tls) as client:
        yield client


@asynccontextmanager
async def reloadable(
    tls: AdapterSettings,
) -> AsyncIterator[tuple[AdapterClient, Callable[[], None]]]:
    reloads: list[Callable[[], None]] = []
    async with running_adapter(tls, reloads.append) as client:
        yield client, reloads[0]


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.file)


@pytest.mark.parametrize("version", NEW_VERSIONS, ids=lambda version: version.name)
async def test_tls_1_2_and_1_3_are_accepted(secure: AdapterClient, version: ssl.TLSVersion) -> None:
    agreed = await shake_hands(secure.address, pinned(version))
    assert agreed.version == version.name.replace("_", ".")


@pytest.mark.parametrize("version", OLD_VERSIONS, ids=lambda version: version.name)
async def test_an_older_tls_version_is_rejected(
    secure: AdapterClient, certificate: Issued, version: ssl.TLSVersion
) -> None:
    async with lax_server(certificate) as lax:
        assert await shake_hands(lax, pinned(version))
    with pytest.raises(REFUSED):
        await shake_hands(secure.address, pinned(version))


@pytest.mark.parametrize("cipher", WEAK_CIPHERS)
async def test_a_weak_cipher_is_rejected(
    secure: AdapterClient, certificate: Issued, cipher: str
) -> None:
    def client() -> ssl.SSLContext:
        return pinned(ssl.TLSVersion.TLSv1_2, cipher)

    async with lax_server(certificate) as lax:
        assert (await shake_hands(lax, client())).cipher == cipher
    with pytest.raises(REFUSED):
        await shake_hands(secure.address, client())


async def test_a_response_over_tls_has_an_hsts_header(
    secure: AdapterClient, authority: Authority
) -> None:
    assert secure.url.startswith("https://")
    context = trusting(authority)
    async with secure.session.post(secure.url, data=VALIDATE, ssl=context) as response:
        assert response.status == 200
        assert response.headers[HSTS] == "max-age=31536000"
    async with secure.session.get(secure.url + "/nope", ssl=context) as response:
        assert (response.status, HSTS in response.headers) == (404, True)


async def test_a_response_over_plain_http_has_no_hsts_header(client: AdapterClient) -> None:
    async with client.session.post(client.url, data=VALIDATE) as response:
        assert HSTS not in response.headers


async def test_http_1_1_is_negotiated_with_a_client_that_prefers_http_2(
    secure: AdapterClient, authority: Authority
) -> None:
    context = trusting(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection(*secure.address, ssl=context)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    writer.close()
    await writer.wait_closed()


async def test_plain_http_at_the_tls_port_gets_no_response(secure: AdapterClient) -> None:
    assert await secure.exchange(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") == b""


async def test_a_client_without_tls_handshake_does_not_delay_others(
    secure: AdapterClient, authority: Authority
) -> None:
    silent = [await asyncio.open_connection(*secure.address) for _ in range(20)]
    async with secure.session.get(secure.url + "/healthz", ssl=trusting(authority)) as response:
        assert response.status == 200
    for _, writer in silent:
        writer.close()


async def test_stopping_closes_idle_connections_at_once(
    tls: AdapterSettings, authority: Authority
) -> None:
    async with running_adapter(tls) as client:
        reader, writer = await asyncio.open_connection(*client.address, ssl=trusting(authority))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b'{"status":"alive"}')
        client.stop.set()
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


@pytest.mark.parametrize("name", [None, "localhost"])
async def test_a_renewed_certificate_is_used_for_new_connections_only(
    tls: AdapterSettings, authority: Authority, certificate: Issued, name: str | None
) -> None:
    async with reloadable(tls) as (client, reload):
        before = await asyncio.open_connection(*client.address, ssl=trusting(authority))
        renewed = authority.issue("server")  # into the same files
        reload()
        for version in NEW_VERSIONS:
            agreed = await shake_hands(client.address, pinned(version), name=name)
            assert agreed.serial_number == renewed.certificate.serial_number
        reader, writer = before
        shown = writer.get_extra_info("peercert")["serialNumber"]
        assert int(shown, 16) == certificate.certificate.serial_number
        for _ in range(2):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b'{"status":"alive"}')
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("broken", ["certificate", "key", "both gone"])
async def test_unusable_files_keep_the_old_certificate(
    tls: AdapterSettings,
    authority: Authority,
    certificate: Issued,
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    async with reloadable(tls) as (client, reload):
        if broken == "certificate":
            certificate.certificate_file.write_text("obviously no certificate")
        elif broken == "key":
            certificate.key_file.write_bytes(
                Authority(authority.file.parent, "x").issue("y").key_pem
            )
        else:
            certificate.certificate_file.unlink()
            certificate.key_file.unlink()
        reload()
        agreed = await shake_hands(client.address, pinned(ssl.TLSVersion.TLSv1_3))
        assert agreed.serial_number == certificate.certificate.serial_number
        [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
        assert record.getMessage() == "certificates not reloaded"
        assert record.__dict__["reason"].startswith("NIVISCO_TLS_")
        assert "obviously" not in repr(record.__dict__)

        certificate.write()
        reload()
        assert await shake_hands(client.address, pinned(ssl.TLSVersion.TLSv1_3)) == agreed


async def test_an_unusable_certificate_is_an_error_at_startup(
    tls: AdapterSettings, certificate: Issued
) -> None:
    certificate.key_file.unlink()
    with pytest.raises(ValueError, match=r"NIVISCO_TLS_KEY_FILE \(.+\) does not exist"):
        await serve(tls, print, asyncio.Event())


async def test_tls_is_allowed_on_every_host(tls: AdapterSettings) -> None:
    async with running_adapter(replace(tls, host="0.0.0.0")) as client:  # noqa: S104 - what is tested
        assert await shake_hands(("127.0.0.1", client.address[1]), pinned(ssl.TLSVersion.TLSv1_3))
