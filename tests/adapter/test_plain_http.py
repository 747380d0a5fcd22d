"""Where plain HTTP is allowed, and for which peers."""

import asyncio
import socket
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from adapter import plain_http
from adapter.plain_http import Network, check_may_listen, is_trusted, read_networks
from adapter.server import serve
from adapter.settings import AdapterSettings
from tests.adapter.running import AdapterClient, running_adapter

PROXIES = read_networks("X", "10.0.0.5, 10.1.0.0/16,fd00::/64")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is refused
THREE_WAYS = "NIVISCO_TLS_KEY_FILE, or name the proxy .+ NIVISCO_TRUSTED_PROXIES, or listen on 127"


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.0.0.5", True),
        ("10.1.255.255", True),
        ("fd00::77", True),
        ("::ffff:10.0.0.5", True),  # IPv4 on a socket of both families
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("", True),  # over a unix socket
        ("10.0.0.6", False),
        ("10.2.0.0", False),
        ("fd00:0:0:1::1", False),
        ("::ffff:10.0.0.6", False),
        ("fe80::1%eth0", False),
        ("::10.0.0.5", False),
        (None, False),
    ],
)
def test_only_proxies_and_this_machine_are_trusted(peer: str | None, trusted: bool) -> None:
    assert is_trusted(peer, PROXIES) is trusted


def test_without_proxies_only_this_machine_is_trusted() -> None:
    assert is_trusted("127.0.0.1", ())
    assert not is_trusted("10.0.0.5", ())


def test_an_empty_list_of_proxies_is_valid() -> None:
    assert read_networks("X", "") == ()
    assert read_networks("X", " , ") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("proxy.internal", "'proxy.internal' is not an IP address or network"),
        ("10.0.0.5/24", "'10.0.0.5/24' is not an IP address or network"),
        ("10.0.0.1;10.0.0.2", "is not an IP address or network"),
        ("0.0.0.0/0", "is everybody"),
        ("10.0.0.1,::/0", "::/0 is everybody"),
    ],
)
def test_an_invalid_proxy_address_is_rejected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"NIVISCO_TRUSTED_PROXIES: .*{message}"):
        AdapterSettings.from_environment({"NIVISCO_TRUSTED_PROXIES": text})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_plain_http_on_loopback_is_allowed(host: str) -> None:
    check_may_listen(host, 80, None, ())


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1", "fd00::1", "0"])
async def test_plain_http_beyond_loopback_is_rejected_at_startup(
    settings: AdapterSettings, host: str
) -> None:
    with pytest.raises(ValueError, match=THREE_WAYS):
        await serve(replace(settings, host=host), print, asyncio.Event())


async def test_a_host_with_one_address_beyond_loopback_is_rejected(
    settings: AdapterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(host: str, _port: object, **_how: object) -> list[tuple[object, ...]]:
        assert host == "both.example"
        return [(0, 0, 0, "", (address, 0)) for address in ("127.0.0.1", "192.0.2.1")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(ValueError, match=THREE_WAYS):
        check_may_listen("both.example", 80, None, ())


def test_an_unknown_host_is_named_in_the_error() -> None:
    with pytest.raises(OSError, match=r"the host no-such-host\.invalid is not known"):
        check_may_listen("no-such-host.invalid", 80, None, ())


async def test_a_given_socket_overrides_the_setting(
    settings: AdapterSettings, tmp_path: Path
) -> None:
    with (
        socket.create_server((EVERYWHERE, 0)) as listener,
        pytest.raises(ValueError, match=THREE_WAYS),
    ):
        await serve(settings, print, asyncio.Event(), listener=listener)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "s"))
        check_may_listen(EVERYWHERE, 80, unix, ())


async def health(client: AdapterClient, local_address: str) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", client.address[1], local_addr=(local_address, 0)
    )
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_only_trusted_peers_can_use_plain_http_and_others_get_a_403(
    settings: AdapterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxies: tuple[Network, ...] = (ip_network("127.0.0.2"),)
    async with running_adapter(
        replace(settings, host=EVERYWHERE, trusted_proxies=proxies)
    ) as client:
        assert (await health(client, "127.0.0.3")).startswith(b"HTTP/1.1 200 ")  # this machine
        # Every machine has these addresses: taken for others, they show what others get.
        monkeypatch.setattr(plain_http, "is_loopback", lambda _address: False)
        assert (await health(client, "127.0.0.2")).startswith(b"HTTP/1.1 200 ")
        refused = await health(client, "127.0.0.3")
    head, _, body = refused.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 ")
    assert b"Connection: close" in head
    assert body.startswith(b'{"success":false,"error":"This port answers its proxy only')


async def test_a_request_of_an_untrusted_peer_is_not_executed(
    settings: AdapterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_http, "is_loopback", lambda _address: False)
    proxies: tuple[Network, ...] = (ip_network("127.0.0.2"),)
    async with running_adapter(replace(settings, trusted_proxies=proxies)) as client:
        assert await client.post("validate_business") == (
            403,
            {
                "success": False,
                "error": "This port answers its proxy only: send the request there, by https",
            },
        )
