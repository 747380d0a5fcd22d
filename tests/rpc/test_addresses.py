"""Addresses of cores become gRPC targets, or are refused."""

import json

import pytest

from rpc.addresses import channel_options, grpc_target


@pytest.mark.parametrize(
    ("cores", "target"),
    [
        ("127.0.0.1:50051", "ipv4:127.0.0.1:50051"),
        ("[::1]:50051", "ipv6:[::1]:50051"),
        ("127.0.0.1:1, 127.0.0.1:2", "ipv4:127.0.0.1:1,127.0.0.1:2"),
        ("localhost:1,localhost:2", "ipv4:127.0.0.1:1,127.0.0.1:2"),
        ("10.0.0.1:1,[fd00::2]:2", "ipv6:[::ffff:10.0.0.1]:1,[fd00::2]:2"),
        ("localhost:50051", "dns:///localhost:50051"),
        ("core.internal:50051", "dns:///core.internal:50051"),
        ("dns:///core.internal:50051", "dns:///core.internal:50051"),
        ("unix:/run/core.sock", "unix:/run/core.sock"),
        ("unix:/run/core.sock.1,unix:/run/core.sock.2", "unix:/run/core.sock.1,/run/core.sock.2"),
    ],
)
def test_every_form_has_a_target(cores: str, target: str) -> None:
    assert grpc_target(cores) == target


@pytest.mark.parametrize(
    "cores",
    [
        *("", ",", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x"),
        *("127.0.0.1:1,", "::1:50051", "[core]:1", "[127.0.0.1]:1", "a b:1", "http://127.0.0.1:1"),
        *("dns:///", "dns:///core", "dns:///a:1,b:1", "unix:relative", "unix:/a,127.0.0.1:1"),
        *("ipv4:127.0.0.1:1", "xds:///core", "core/:1", "127.0.0.1:1:2"),
    ],
)
def test_a_malformed_address_is_refused_with_the_accepted_forms(cores: str) -> None:
    with pytest.raises(ValueError, match=r"\(NIVISCO_CORE\): use host:port, a list ip:port"):
        grpc_target(cores)


def test_a_list_of_host_names_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'core-1' is not an IP address.*dns:///name:port"):
        grpc_target("core-1:50051,core-2:50051")


@pytest.mark.parametrize(
    ("cores", "watched"),
    [
        ("127.0.0.1:1", False),
        ("unix:/run/core.sock", False),
        ("127.0.0.1:1,127.0.0.1:2", True),
        ("unix:/a,unix:/b", True),
        ("core.internal:1", True),
        ("dns:///core.internal:1", True),
    ],
)
def test_health_is_checked_if_there_may_be_several_cores(cores: str, watched: bool) -> None:
    config = json.loads(str(dict(channel_options(cores))["grpc.service_config"]))
    assert ("healthCheckConfig" in config) == watched
