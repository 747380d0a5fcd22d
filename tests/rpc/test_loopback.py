"""Which addresses and gRPC targets are local."""

import pytest

from rpc.loopback import is_local_target, is_loopback


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),  # noqa: S104 - not bound
        ("::", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_loopback_addresses_are_those_of_the_standards(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("127.0.0.1:50051", True),
        ("localhost:50051", True),
        ("[::1]:50051", True),
        ("unix:/run/core.sock", True),
        ("unix:///run/core.sock", True),
        ("127.0.0.1:1,127.0.0.1:2", True),
        ("ipv4:127.0.0.1:1,127.0.0.1:2", True),
        ("ipv6:[::1]:1,[::1]:2", True),
        ("dns:///localhost:50051", True),
        ("127.0.0.1:1,192.0.2.1:2", False),
        ("ipv4:127.0.0.1:1,192.0.2.1:2", False),
        ("192.0.2.1:50051", False),
        ("0.0.0.0:50051", False),
        ("[fd00::1]:50051", False),
        ("no-such-host.invalid:50051", False),
        ("dns://192.0.2.53/localhost:50051", False),  # that name server may return any address
        ("xds:///core", False),
        ("127.0.0.1", False),
        ("127.0.0.1:1,", False),
        ("", False),
        ("a" * 70 + ".invalid:1", False),
    ],
)
def test_a_target_is_local_if_all_its_addresses_are(target: str, local: bool) -> None:
    assert is_local_target(target) is local
