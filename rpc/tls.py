"""TLS of clients of the core, and which targets may receive credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

from rpc.certificates import mutual_tls_files
from rpc.loopback import UNIX_SCHEME, is_local_target


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Certificate and key of a client, and the authorities of the cores' certificates. PEM."""

    root_certificates: bytes = field(repr=False)
    certificate_chain: bytes = field(repr=False)
    private_key: bytes = field(repr=False)
    server_name: str = ""
    """Name in the core's certificate; empty: the target's host."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> ClientTls | None:
        """Read the files of the NIVISCO_CORE_TLS_* settings, or return None if none is set.

        Raises:
            ValueError: only some are set, or a file is unusable.
        """
        files = mutual_tls_files(
            environ,
            "NIVISCO_CORE_TLS_CERTIFICATE_FILE",
            "NIVISCO_CORE_TLS_KEY_FILE",
            "NIVISCO_CORE_TLS_CA_FILE",
        )
        if files is None:
            return None
        read = files.read()
        return cls(
            root_certificates=read.authorities,
            certificate_chain=read.pair.certificate_chain,
            private_key=read.pair.private_key,
            server_name=environ.get("NIVISCO_CORE_TLS_SERVER_NAME", ""),
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Return gRPC's channel credentials."""
        return grpc.ssl_channel_credentials(
            self.root_certificates, self.private_key, self.certificate_chain
        )

    def channel_options(self) -> list[tuple[str, str]]:
        """Return the channel options for TLS."""
        return [("grpc.default_authority", self.server_name)] if self.server_name else []


def check_transport(target: str, tls: ClientTls | None) -> None:
    """Check that credentials are sent to `target` with TLS, or stay on this machine.

    Raises:
        ValueError: they do not, or the target does not fit the TLS settings; the message names the
            settings.
    """
    if tls is None:
        if not is_local_target(target):
            raise ValueError(
                f"The core at {target} (NIVISCO_CORE) is not on this machine's loopback, and "
                "credentials are sent there: set NIVISCO_CORE_TLS_CA_FILE, "
                "NIVISCO_CORE_TLS_CERTIFICATE_FILE and NIVISCO_CORE_TLS_KEY_FILE"
            )
    elif target.startswith(UNIX_SCHEME):
        raise ValueError(
            f"The core at {target} (NIVISCO_CORE) takes no TLS: unset the NIVISCO_CORE_TLS_* "
            "settings, or name host:port"
        )
    elif "," in target and not tls.server_name:
        raise ValueError(
            "NIVISCO_CORE names several cores: set NIVISCO_CORE_TLS_SERVER_NAME to the name that "
            "their certificates carry"
        )
