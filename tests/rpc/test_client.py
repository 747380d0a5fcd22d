"""The client of a core: which targets it accepts, and which errors it raises itself."""

from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from nivisco.payments.v1 import authentication_pb2
from rpc import client as client_module
from rpc.catalogue import methods_by_path
from rpc.client import CoreClient
from rpc.errors import CoreError, core_error
from rpc.metadata import Credentials
from rpc.tls import ClientTls
from tests.certificates import Authority, Issued

VALIDATE = methods_by_path()["/nivisco.payments.v1.AuthenticationService/ValidateBusiness"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def certificate(authority: Authority) -> Issued:
    return authority.issue("adapter", ())


@pytest.fixture
def tls(authority: Authority, certificate: Issued) -> ClientTls:
    return ClientTls(authority.file.read_bytes(), certificate.pem, certificate.key_pem)


@pytest.mark.parametrize(
    ("target", "with_tls", "message"),
    [
        ("core.invalid:50051", False, "set NIVISCO_CORE_TLS_CA_FILE, .+ and NIVISCO_CORE_TLS_KEY"),
        ("192.0.2.1:50051", False, "set NIVISCO_CORE_TLS_CA_FILE"),
        ("127.0.0.1:1,192.0.2.1:2", False, "set NIVISCO_CORE_TLS_CA_FILE"),
        ("unix:/run/core.sock", True, "takes no TLS"),
        ("10.0.0.1:1,10.0.0.2:1", True, "set NIVISCO_CORE_TLS_SERVER_NAME"),
    ],
)
def test_a_target_that_does_not_fit_the_tls_settings_is_refused(
    tls: ClientTls, target: str, with_tls: bool, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CoreClient(target, tls if with_tls else None)


def test_the_files_of_the_tls_settings_are_read_and_never_shown(
    authority: Authority, certificate: Issued, tls: ClientTls
) -> None:
    found = ClientTls.from_environment(
        {
            "NIVISCO_CORE_TLS_CA_FILE": str(authority.file),
            "NIVISCO_CORE_TLS_CERTIFICATE_FILE": str(certificate.certificate_file),
            "NIVISCO_CORE_TLS_KEY_FILE": str(certificate.key_file),
            "NIVISCO_CORE_TLS_SERVER_NAME": "core.example",
        }
    )
    assert found == replace(tls, server_name="core.example")
    assert repr(found) == "ClientTls(server_name='core.example')"
    assert ClientTls.from_environment({}) is None


async def test_a_core_that_is_unreachable_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "RECONNECT_SECONDS", 0.1)
    client = CoreClient("127.0.0.1:9")
    assert not await client.is_ready(timeout_seconds=1)
    with pytest.raises(CoreError) as refused:
        await client.call(
            VALIDATE.descriptor,
            authentication_pb2.ValidateBusinessRequest(),
            Credentials("B", "k"),
            timeout_seconds=5,
        )
    assert (refused.value.reason, refused.value.retry_after_seconds) == ("SERVICE_UNAVAILABLE", 1)
    await client.close()


@pytest.mark.parametrize(
    ("code", "details", "reason"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", "OUTCOME_UNKNOWN"),
        (
            grpc.StatusCode.UNAVAILABLE,
            "connections to all backends failing; last error: x",
            "SERVICE_UNAVAILABLE",
        ),
        (grpc.StatusCode.UNAVAILABLE, "errors resolving x:1: []", "SERVICE_UNAVAILABLE"),
        (
            grpc.StatusCode.UNAVAILABLE,
            "Stream removed (connections to all backends failing)",
            "OUTCOME_UNKNOWN",
        ),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", "OUTCOME_UNKNOWN"),
        (grpc.StatusCode.CANCELLED, "", "OUTCOME_UNKNOWN"),
        (grpc.StatusCode.UNIMPLEMENTED, "", "INTERNAL"),
    ],
)
def test_a_status_of_grpc_itself_is_certain_only_if_nothing_was_sent(
    code: grpc.StatusCode, details: str, reason: str
) -> None:
    assert core_error(code, details, ()).reason == reason
