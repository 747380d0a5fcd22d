"""A TLS proxy for a PostgreSQL that listens on a unix socket without TLS.

It answers PostgreSQL's SSLRequest as a server with TLS does, and forwards the rest.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")


def write_certificate(path: Path) -> None:
    """Write a key and a self-signed certificate for 127.0.0.1 into one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )


@asynccontextmanager
async def tls_proxy(socket: Path, certificate: Path | None) -> AsyncIterator[int]:
    """Yield the port of a proxy to the server at `socket`. It refuses TLS without a certificate."""
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)

    connections: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.create_task(forward(reader, writer, socket, context)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*connections), 20)  # each ends when its client closes


async def forward(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    socket: Path,
    context: ssl.SSLContext | None,
) -> None:
    with suppress(OSError):
        first = await reader.readexactly(8)
        if first == _SSL_REQUEST:
            writer.write(b"S" if context else b"N")
            await writer.drain()
            if context:
                await writer.start_tls(context)
            first = b""
        server_reader, server_writer = await asyncio.open_unix_connection(socket)
        server_writer.write(first)
        await asyncio.gather(pump(reader, server_writer), pump(server_reader, writer))
    await close(writer)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):  # the other side closed first
        await writer.wait_closed()
