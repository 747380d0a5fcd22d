"""A sealed secret can be opened with its keyring, for its business and purpose only."""

import base64
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from core.security.keyring import Keyring, SealBrokenError, UnknownKeyError, derived_key
from core.security.secrets import api_key_matches, hash_api_key
from core.server.settings import CoreSettings

ONE = "k1:" + "A" * 43 + "="
TWO = "k2:" + "B" * 43 + "="


def test_a_sealed_secret_can_be_opened() -> None:
    keyring = Keyring.parse(ONE)
    sealed = keyring.seal("sk_test_fake", business_id="B", purpose="p")
    assert keyring.open(sealed, business_id="B", purpose="p") == "sk_test_fake"


@pytest.mark.parametrize(
    ("business_id", "purpose"), [("C", "p"), ("B", "q"), ("Bp", ""), ("", "Bp")]
)
def test_a_secret_cannot_be_opened_for_another_business_or_purpose(
    business_id: str, purpose: str
) -> None:
    keyring = Keyring.parse(ONE)
    sealed = keyring.seal("sk_test_fake", business_id="B", purpose="p")
    with pytest.raises(SealBrokenError):
        keyring.open(sealed, business_id=business_id, purpose=purpose)


def test_keys_rotate_online() -> None:
    sealed = Keyring.parse(ONE).seal("old", business_id="B", purpose="p")
    both = Keyring.parse(f"{TWO},{ONE}")
    assert both.open(sealed, business_id="B", purpose="p") == "old"
    assert both.seal("new", business_id="B", purpose="p").startswith("v2:k2:")


def test_each_business_and_purpose_has_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[bytes] = []

    def recorded(key: bytes) -> AESGCM:
        used.append(key)
        return AESGCM(key)

    monkeypatch.setattr("core.security.keyring.AESGCM", recorded)
    keyring = Keyring.parse(ONE)
    for business_id, purpose in (("B", "p"), ("B", "q"), ("C", "p"), ("Bp", ""), ("B", "p")):
        keyring.seal("x", business_id=business_id, purpose=purpose)
    assert used[0] == used[-1]
    assert len({*used, keyring.keys["k1"]}) == 5


def test_the_key_of_a_business_and_purpose_is_the_one_that_hkdf_expands() -> None:
    keyring = Keyring.parse(ONE)
    belongs_to = b"\0\0\0\x01B\0\0\0\x01p"
    key = HKDFExpand(SHA256(), 32, b"seal" + belongs_to).derive(keyring.keys["k1"])
    sealed = keyring.seal("sk_test_fake", business_id="B", purpose="p")
    raw = base64.b64decode(sealed.removeprefix("v2:k1:"))
    assert AESGCM(key).decrypt(raw[:12], raw[12:], belongs_to) == b"sk_test_fake"


def test_a_fingerprint_stays_the_same_in_every_version() -> None:
    made = Keyring.parse(ONE).fingerprint(b"x", key_id="k1", business_id="B", purpose="p")
    own_key = hmac.digest(bytes(32), b"fingerprint", "sha256")
    assert made == hmac.digest(own_key, b"\0\0\0\x01B\0\0\0\x01px", "sha256").hex()


def test_a_secret_that_an_older_version_sealed_can_be_opened() -> None:
    sealed = "v1:k1:9zhS6Oil57szM7YV4SqIQEH3Lzs3NIg7jHAveTl4Xw=="
    keyring = Keyring.parse(ONE)
    assert keyring.open(sealed, business_id="B", purpose="p") == "old"
    with pytest.raises(SealBrokenError):
        keyring.open(sealed.replace("v1", "v2"), business_id="B", purpose="p")


@pytest.mark.parametrize(
    ("sealed", "error"),
    [
        ("v2:k2:AAAA", UnknownKeyError),
        ("v9:k1:AAAA", UnknownKeyError),
        ("v2:k1:AAAA", SealBrokenError),
        ("v2:k1:A", SealBrokenError),
        ("", UnknownKeyError),
    ],
)
def test_an_unknown_key_is_distinguished_from_a_broken_seal(
    sealed: str, error: type[SealBrokenError]
) -> None:
    with pytest.raises(SealBrokenError) as broken:
        Keyring.parse(ONE).open(sealed, business_id="B", purpose="p")
    assert type(broken.value) is error


def test_another_keyring_cannot_open_a_secret() -> None:
    sealed = Keyring.parse(ONE).seal("x", business_id="B", purpose="p")
    with pytest.raises(SealBrokenError, match="no key 'k1'"):
        Keyring.parse(TWO).open(sealed, business_id="B", purpose="p")


@given(st.text())
def test_sealing_is_not_deterministic(secret: str) -> None:
    keyring = Keyring.parse(ONE)
    sealed = {keyring.seal(secret, business_id="B", purpose="p") for _ in range(2)}
    assert len(sealed) == 2
    assert {keyring.open(each, business_id="B", purpose="p") for each in sealed} == {secret}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "key 1 is not"),
        ("nocolon", "key 1 is not"),
        ("k1:%%%", "is not base64"),
        ("k1:QUJD", "has 3 bytes, not 32"),
        (f"{ONE},{ONE}", "key 2 is not"),
    ],
)
def test_a_malformed_keyring_is_refused_without_its_key(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        Keyring.parse(text)
    assert "QUJD" not in str(raised.value)


def test_no_repr_shows_a_secret() -> None:
    settings = CoreSettings.from_environment(
        {
            "NIVISCO_DATABASE_URL": "sqlite:////x/very-secret-path.db",
            "NIVISCO_SECRET_KEYS": ONE,
            "NIVISCO_SERVICE_TOKENS": "operator:" + "t" * 40,
        }
    )
    shown = repr(settings)
    assert "A" * 20 not in shown
    assert "t" * 20 not in shown
    assert "very-secret-path" not in shown


def test_an_api_key_matches_its_hash_only() -> None:
    stored = hash_api_key("a" * 64)
    assert api_key_matches("a" * 64, stored)
    assert not api_key_matches("b" * 64, stored)


def test_derived_keys_differ_by_the_boundaries_of_parts() -> None:
    assert derived_key("ab", "c") != derived_key("a", "bc")
