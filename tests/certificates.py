"""Certificates for tests: an authority that issues them to servers and clients."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, with their files."""

    certificate: x509.Certificate
    key: PrivateKey
    certificate_file: Path
    key_file: Path

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return key_pem(self.key, NoEncryption())

    def write(self) -> None:
        self.certificate_file.write_bytes(self.pem)
        self.key_file.write_bytes(self.key_pem)


def key_pem(key: PrivateKey, encryption: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def locked_key_pem(key: PrivateKey) -> bytes:
    return key_pem(key, BestAvailableEncryption(b"passphrase"))


class Authority:
    """A certificate authority that writes its certificates into a directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory = directory
        self._own = self._issue(name, (), None, timedelta(0), authority=True)
        self.file = self._own.certificate_file

    def issue(
        self,
        name: str,
        hosts: Sequence[str] = LOOPBACK,
        *,
        shifted: timedelta = timedelta(0),
        key: PrivateKey | None = None,
    ) -> Issued:
        """Issue a certificate that is valid for one day before and after now plus `shifted`."""
        return self._issue(name, hosts, self._own, shifted, key=key)

    def _issue(
        self,
        name: str,
        hosts: Sequence[str],
        issuer: Issued | None,
        shifted: timedelta,
        *,
        authority: bool = False,
        key: PrivateKey | None = None,
    ) -> Issued:
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        middle = datetime.now(UTC) + shifted
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if issuer is None else issuer.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(middle - _DAY)
            .not_valid_after(middle + _DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if hosts:
            names = [_general_name(host) for host in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signer = key if issuer is None else issuer.key
        issued = Issued(
            builder.sign(signer, hashes.SHA256()),
            key,
            self._directory / f"{name}.pem",
            self._directory / f"{name}.key",
        )
        issued.write()
        return issued


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
