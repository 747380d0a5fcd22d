"""Reads and checks the PEM files of settings.

Every error names the setting and what to do, and never shows the content of a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

_LEAST_RSA_BITS = 2048
"""CA/Browser Forum, Baseline Requirements 6.1.5, as are P-256 and P-384."""


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file and its setting."""

    setting: str
    path: str

    def __str__(self) -> str:
        return f"{self.setting} ({self.path})"

    def read(self) -> bytes:
        """Return the content of the file.

        Raises:
            ValueError: it cannot be read; the message names the setting.
        """
        try:
            return Path(self.path).read_bytes()
        except FileNotFoundError:
            raise ValueError(f"{self} does not exist: name a PEM file") from None
        except PermissionError:
            raise ValueError(f"{self} is not readable for this process's user") from None
        except OSError as error:
            raise ValueError(f"{self} cannot be read: {error.strerror}") from None

    def certificates(self) -> tuple[bytes, list[x509.Certificate]]:
        """Return the content of the file, and the certificates in it, at least one.

        Raises:
            ValueError: it cannot be read or has no certificates; the message names the setting.
        """
        pem = self.read()
        try:
            return pem, x509.load_pem_x509_certificates(pem)
        except ValueError:
            raise ValueError(
                f"{self} has no PEM certificates: it needs -----BEGIN CERTIFICATE----- blocks"
            ) from None


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its chain, and its private key. PEM."""

    certificate_chain: bytes = field(repr=False)
    private_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyPairFiles:
    """Files of a process's certificate and key."""

    certificate: NamedFile
    key: NamedFile

    def read(self) -> KeyPair:
        """Return the certificate and its key. The certificate is valid now.

        Raises:
            ValueError: a file cannot be read or used; the message names the setting.
        """
        chain, certificates = self.certificate.certificates()
        _check_valid_now(self.certificate, certificates[0])
        key = self.key.read()
        try:
            public = load_pem_private_key(key, None).public_key()
        except TypeError:
            raise ValueError(
                f"{self.key} has a passphrase: save it without one, mode 600"
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError(
                f"{self.key} has no PEM private key: it needs a -----BEGIN PRIVATE KEY----- block, "
                "or a similar one"
            ) from None
        spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if public.public_bytes(*spki) != certificates[0].public_key().public_bytes(*spki):
            raise ValueError(
                f"{self.key} is not the key of the first certificate in {self.certificate}: use a "
                "pair, with the process's own certificate before the intermediate ones"
            )
        if not _is_supported_key(public):
            raise ValueError(
                f"{self.key} is of a kind that not every client supports: it must be RSA of "
                f"{_LEAST_RSA_BITS} bits or more, or EC on P-256 or P-384"
            )
        return KeyPair(chain, key)


@dataclass(frozen=True, slots=True)
class MutualTls:
    """A process's certificate and key, and the authorities that it trusts. PEM."""

    pair: KeyPair
    authorities: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MutualTlsFiles:
    """Files of one side of mutual TLS."""

    pair: KeyPairFiles
    authorities: NamedFile
    """Certificates of the authorities that issue the other side's certificate."""

    def read(self) -> MutualTls:
        """Return the content of the files.

        Raises:
            ValueError: a file cannot be read or used; the message names the setting.
        """
        authorities, _ = self.authorities.certificates()
        return MutualTls(self.pair.read(), authorities)


def named_files(environ: Mapping[str, str], *settings: str) -> list[NamedFile] | None:
    """Return the files of these settings, or None if none is set.

    Raises:
        ValueError: only some are set; the message names the others.
    """
    missing = [setting for setting in settings if not environ.get(setting)]
    if len(missing) == len(settings):
        return None
    if missing:
        given = " and ".join(setting for setting in settings if setting not in missing)
        raise ValueError(f"{given} needs {' and '.join(missing)} too: set all of them, or none")
    return [NamedFile(setting, environ[setting]) for setting in settings]


def key_pair_files(environ: Mapping[str, str], certificate: str, key: str) -> KeyPairFiles | None:
    """Return the key pair of two settings, or None if neither is set.

    Raises:
        ValueError: only one is set.
    """
    files = named_files(environ, certificate, key)
    return None if files is None else KeyPairFiles(*files)


def mutual_tls_files(
    environ: Mapping[str, str], certificate: str, key: str, authorities: str
) -> MutualTlsFiles | None:
    """Return the files of three settings, or None if none is set.

    Raises:
        ValueError: only some are set.
    """
    files = named_files(environ, certificate, key, authorities)
    return None if files is None else MutualTlsFiles(KeyPairFiles(*files[:2]), files[2])


def _is_supported_key(public: object) -> bool:
    """Return whether OpenSSL and gRPC's BoringSSL accept such a key, as server and as client."""
    if isinstance(public, rsa.RSAPublicKey):
        return public.key_size >= _LEAST_RSA_BITS
    return isinstance(public, ec.EllipticCurvePublicKey) and isinstance(
        public.curve, ec.SECP256R1 | ec.SECP384R1
    )


def _check_valid_now(file: NamedFile, certificate: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        raise ValueError(f"{file} expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if now < certificate.not_valid_before_utc:
        begins = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M}"
        raise ValueError(f"{file} is not valid before {begins} UTC: is this machine's clock right?")
