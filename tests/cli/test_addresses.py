import socket

import click
import pytest

from cli.addresses import Address, check_free, read_core_address
from cli.failures import Failure

CONTEXT = click.Context(click.Command("core"))
PARAMETER = click.Option(["--core"])


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("localhost:0", "localhost", 0),
        ("[::1]:8080", "::1", 8080),
        ("[::]:65535", "::", 65535),
        ("http://127.0.0.1:8080/", "127.0.0.1", 8080),
        ("http://[::1]:1", "::1", 1),
        ("core.internal:50051", "core.internal", 50051),
    ],
)
def test_an_address_is_parsed(text: str, host: str, port: int) -> None:
    assert Address.parse(text) == Address(host, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "::1:8080", "[::1]", "a b:1"),
        *("h:65536", "h:-1", "h:8o", "[h]:1", "[a]:1", "ftp://h:1", "h:1/path", "h:123456"),
    ],
)
def test_a_malformed_address_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT, like 127\.0\.0\.1:8080"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("listening", "called"),
    [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("[::]:80", "[::1]:80"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("example.com:80", "example.com:80"),
    ],
)
def test_a_wildcard_address_is_reached_over_loopback(listening: str, called: str) -> None:
    assert str(Address.parse(listening).reachable()) == called


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_url_keeps_the_scheme_of_its_address(scheme: str) -> None:
    address = Address.parse(f"{scheme}://0.0.0.0:80")
    assert address.url() == f"{scheme}://127.0.0.1:80"
    assert Address.parse("0.0.0.0:80").url() == "http://127.0.0.1:80"


@pytest.mark.parametrize("text", ["unix:/run/core.sock", "127.0.0.1:50051", "[::1]:50051"])
def test_a_core_address_is_a_socket_or_host_and_port(text: str) -> None:
    assert str(read_core_address(CONTEXT, PARAMETER, text)) == text


@pytest.mark.parametrize("text", ["unix:run/core.sock", "unix:", "/run/core.sock"])
def test_a_malformed_core_address_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not (unix:/path|HOST:PORT)"):
        read_core_address(CONTEXT, PARAMETER, text)


def test_a_taken_port_is_refused_with_the_option_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(Failure, match=r"is taken\. Choose another port with --http"):
            check_free([("--grpc", Address("127.0.0.1", 0)), ("--http", address)])
    check_free([("--http", address)])


def test_one_port_for_two_options_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = Address("127.0.0.1", probe.getsockname()[1])
    with pytest.raises(Failure, match="--grpc"):
        check_free([("--http", address), ("--grpc", address)])


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(Failure, match="Choose another with --http"):
        check_free([("--http", Address("192.0.2.1", 0))])  # RFC 5737: reserved for documentation


def test_an_unknown_host_is_refused() -> None:
    with pytest.raises(Failure, match="not known on this machine"):
        check_free([("--http", Address("no-such-host.invalid", 0))])
