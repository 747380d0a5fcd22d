"""Unusable files are refused by their setting, without their content."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from rpc.certificates import (
    KeyPairFiles,
    NamedFile,
    key_pair_files,
    mutual_tls_files,
)
from tests.certificates import Authority, Issued, PrivateKey, locked_key_pem

SECRET = "obviously-secret-content"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def issued(authority: Authority) -> Issued:
    return authority.issue("server")


def files_of(issued: Issued) -> KeyPairFiles:
    return KeyPairFiles(
        NamedFile("CERTIFICATE", str(issued.certificate_file)),
        NamedFile("KEY", str(issued.key_file)),
    )


def test_a_pair_is_read(issued: Issued) -> None:
    pair = files_of(issued).read()
    assert (pair.certificate_chain, pair.private_key) == (issued.pem, issued.key_pem)
    assert repr(pair) == "KeyPair()"


def test_a_chain_and_one_file_for_both_are_read(authority: Authority, issued: Issued) -> None:
    issued.certificate_file.write_bytes(
        b"a comment\n" + issued.pem + authority.file.read_bytes() + issued.key_pem
    )
    one = str(issued.certificate_file)
    KeyPairFiles(NamedFile("CERTIFICATE", one), NamedFile("KEY", one)).read()


def _write(issued: Issued, *, certificate: bytes | None = None, key: bytes | None = None) -> None:
    if certificate is not None:
        issued.certificate_file.write_bytes(certificate)
    if key is not None:
        issued.key_file.write_bytes(key)


def _make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


BROKEN: dict[str, tuple[Callable[[Issued, Authority], object], str]] = {
    "no certificate file": (
        lambda issued, _: issued.certificate_file.unlink(),
        r"CERTIFICATE \(.+server\.pem\) does not exist",
    ),
    "no key file": (
        lambda issued, _: issued.key_file.unlink(),
        r"KEY \(.+server\.key\) does not exist",
    ),
    "a directory": (
        lambda issued, _: _make_directory(issued.key_file),
        "KEY .+ cannot be read: Is a directory",
    ),
    "an empty certificate": (
        lambda issued, _: _write(issued, certificate=b""),
        "CERTIFICATE .+ has no PEM certificates",
    ),
    "another text": (
        lambda issued, _: _write(issued, certificate=SECRET.encode()),
        "CERTIFICATE .+ has no PEM certificates",
    ),
    "binary": (
        lambda issued, _: _write(issued, certificate=bytes(range(256)), key=bytes(range(256))),
        "CERTIFICATE .+ has no PEM certificates",
    ),
    "a damaged certificate": (
        lambda issued, _: _write(issued, certificate=issued.pem.replace(b"M", b"A")),
        "CERTIFICATE .+ has no PEM certificates",
    ),
    "the key in place of the certificate": (
        lambda issued, _: _write(issued, certificate=issued.key_pem),
        "CERTIFICATE .+ has no PEM certificates",
    ),
    "another text in place of the key": (
        lambda issued, _: _write(issued, key=SECRET.encode()),
        "KEY .+ has no PEM private key",
    ),
    "the certificate in place of the key": (
        lambda issued, _: _write(issued, key=issued.pem),
        "KEY .+ has no PEM private key",
    ),
    "a key with a passphrase": (
        lambda issued, _: _write(issued, key=locked_key_pem(issued.key)),
        "KEY .+ has a passphrase",
    ),
    "another's key": (
        lambda issued, authority: _write(issued, key=authority.issue("other").key_pem),
        "KEY .+ is not the key of the first certificate in CERTIFICATE",
    ),
    "the chain in the wrong order": (
        lambda issued, authority: _write(
            issued, certificate=authority.file.read_bytes() + issued.pem
        ),
        "KEY .+ is not the key of the first certificate in CERTIFICATE",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_unusable_pair_is_refused_by_its_setting(
    issued: Issued, authority: Authority, case: str
) -> None:
    breaks, message = BROKEN[case]
    breaks(issued, authority)
    with pytest.raises(ValueError, match=f"^{message}") as refusal:
        files_of(issued).read()
    assert SECRET not in str(refusal.value)
    assert "BEGIN EC" not in str(refusal.value)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),  # noqa: S505 - refused
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["RSA 1024", "secp256k1", "Ed25519"],
)
def test_an_unsupported_kind_of_key_is_refused(authority: Authority, key: PrivateKey) -> None:
    issued = authority.issue("server", key=key)
    with pytest.raises(ValueError, match=r"KEY .+ must be RSA of 2048 bits or more, or EC"):
        files_of(issued).read()


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())],
    ids=["RSA 2048", "P-384"],
)
def test_common_keys_are_accepted(authority: Authority, key: PrivateKey) -> None:
    files_of(authority.issue("server", key=key)).read()


@pytest.mark.parametrize(
    ("days", "message"),
    [
        (-3, "CERTIFICATE .+ expired at 20.+ UTC"),
        (3, "CERTIFICATE .+ is not valid before 20.+ UTC"),
    ],
)
def test_a_certificate_that_is_not_valid_now_is_refused(
    authority: Authority, days: int, message: str
) -> None:
    issued = authority.issue("server", shifted=timedelta(days=days))
    with pytest.raises(ValueError, match=message):
        files_of(issued).read()


def test_absent_settings_are_no_files() -> None:
    assert key_pair_files({"C": ""}, "C", "K") is None
    assert mutual_tls_files({}, "C", "K", "A") is None


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"C": "x"}, "^C needs K and A too: set all of them, or none"),
        ({"K": "x", "A": "x"}, "^K and A needs C too"),
        ({"C": "x", "K": "x", "A": ""}, "^C and K needs A too"),
    ],
)
def test_incomplete_settings_are_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mutual_tls_files(environ, "C", "K", "A")


def test_an_authority_must_be_a_certificate(authority: Authority, issued: Issued) -> None:
    environ = {
        "C": str(issued.certificate_file),
        "K": str(issued.key_file),
        "A": str(authority.file),
    }
    files = mutual_tls_files(environ, "C", "K", "A")
    assert files is not None
    assert files.read().authorities == authority.file.read_bytes()
    authority.file.write_text(SECRET)
    with pytest.raises(ValueError, match=r"^A .+ has no PEM certificates"):
        files.read()
