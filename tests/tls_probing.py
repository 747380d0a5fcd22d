"""Probes TLS servers as sslscan does: one handshake for each version and cipher."""

import asyncio
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cryptography import x509

from tests.certificates import Issued

Address = tuple[str, int]
REFUSED = (ssl.SSLError, ConnectionError)
"""A refused handshake: an alert, or a closed connection if the server's library sends none."""
OLD_VERSIONS = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
NEW_VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
WEAK_CIPHERS = (
    "ECDHE-ECDSA-AES128-SHA",  # CBC and SHA-1
    "ECDHE-ECDSA-AES256-SHA384",  # CBC
    "ECDHE-ECDSA-NULL-SHA",
    "AECDH-AES128-SHA",  # anonymous
)


@dataclass(frozen=True, slots=True)
class Handshake:
    """A completed handshake."""

    version: str
    cipher: str
    serial_number: int | None
    """Of the server's certificate, if it sent one."""


def pinned(
    version: ssl.TLSVersion, cipher: str = "ALL", *, certificate: Issued | None = None
) -> ssl.SSLContext:
    """Return a client context with one version, weak ciphers allowed, certificates unchecked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    _pin(context, version, version)
    if certificate is not None:
        context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    return context


async def shake_hands(
    address: Address, context: ssl.SSLContext, *, alpn: Sequence[str] = (), name: str | None = None
) -> Handshake:
    """Connect and return the handshake.

    Raises:
        ssl.SSLError, ConnectionError: the server refused.
    """
    if alpn:
        context.set_alpn_protocols(list(alpn))

    def connect() -> Handshake:
        with (
            socket.create_connection(address, timeout=20) as plain,
            context.wrap_socket(plain, server_hostname=name) as encrypted,
        ):
            shown = encrypted.getpeercert(binary_form=True)
            version, cipher = encrypted.version(), encrypted.cipher()
            assert version is not None
            assert cipher is not None
            return Handshake(version, cipher[0], _serial_number(shown) if shown else None)

    return await asyncio.to_thread(connect)


@asynccontextmanager
async def lax_server(certificate: Issued) -> AsyncIterator[Address]:
    """Serve every version and cipher, which proves that a probe supports them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    _pin(context, ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_3)

    async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()
        await server.wait_closed()


def _pin(context: ssl.SSLContext, lowest: ssl.TLSVersion, highest: ssl.TLSVersion) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are probed
        context.minimum_version = lowest
        context.maximum_version = highest


def _serial_number(der: bytes) -> int:
    return x509.load_der_x509_certificate(der).serial_number
