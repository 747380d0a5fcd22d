"""Encrypts secrets at rest, with keys that rotate. No I/O."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12
_FORMATS = ("v1", "v2")
"""v1 seals under the key of the keyring, v2 under a key derived from it for business and purpose.

One key may seal 2^32 times with random nonces (NIST SP 800-38D, 8.3): 99 days at 500 a second.
"""


class SealBrokenError(Exception):
    """A sealed secret cannot be opened: wrong keyring, wrong business or purpose, or damaged."""


class UnknownKeyError(SealBrokenError):
    """A secret was sealed with a key that the keyring lacks, or by a newer version.

    Another core may open it: while cores restart with a new key, the old ones lack it.
    """


def sealed_prefixes(key_id: str) -> list[str]:
    """Return what every secret that a key sealed begins with, one of these."""
    return [f"{version}:{key_id}:" for version in _FORMATS]


def sealed_pattern(key_id: str) -> str:
    """Return the SQL pattern of what a key sealed, in any version; `%` is any key."""
    return f"v_:{key_id}:%"


def sealing_key_id(sealed: str) -> str:
    """Return the id of the key that sealed a secret, of which the beginning is enough."""
    return sealed.split(":", 2)[1] if sealed.count(":") > 1 else ""


def derived_key(*parts: str) -> str:
    """Return a SHA-256 digest of a sequence of parts, 64 hexadecimal digits."""
    return hashlib.sha256(_associated_data(*parts)).hexdigest()


def _associated_data(*parts: str) -> bytes:
    # With lengths, because ("ab", "c") and ("a", "bc") must differ.
    return b"".join([len(raw).to_bytes(4, "big") + raw for raw in map(str.encode, parts)])


def key_ids(text: str) -> list[str]:
    """Return the ids of a keyring as `Keyring.parse` reads it, also of wrapped keys.

    Raises:
        ValueError: an entry is malformed. The message shows no key.
    """
    return list(_entries(text))


def _entries(text: str) -> dict[str, str]:
    """Return the encoded keys by id."""
    keys: dict[str, str] = {}
    for position, entry in enumerate(text.split(","), start=1):
        key_id, colon, encoded = entry.strip().partition(":")
        if not colon or not key_id.isalnum() or key_id in keys:
            raise ValueError(f"key {position} is not <id>:<base64 of 32 bytes> with its own id")
        keys[key_id] = encoded
    return keys


@lru_cache(maxsize=64)
def _keyed_hmac(key: bytes) -> hmac.HMAC:
    """Return HMAC-SHA256 (RFC 2104) with a key, to copy: keying takes longer than a message."""
    return hmac.new(key, digestmod="sha256")


def _hmac(key: bytes, message: bytes) -> bytes:
    digest = _keyed_hmac(key).copy()
    digest.update(message)
    return digest.digest()


@lru_cache(maxsize=64)
def _fingerprint_key(key: bytes) -> bytes:
    """Return the key of fingerprints: not the one that encrypts, which has that purpose only."""
    return _hmac(key, b"fingerprint")


@lru_cache(maxsize=1024)
def _change_hmac(key: bytes, business_id: str) -> hmac.HMAC:
    """Return the HMAC of what a business's changes write, to copy; fingerprints begin otherwise."""
    begun = _keyed_hmac(_fingerprint_key(key)).copy()
    begun.update(_associated_data(business_id, "audit"))
    return begun


def _key_for(key: bytes, belongs_to: bytes) -> bytes:
    """Return the key that seals for one business and purpose.

    HKDF's expand without extract (RFC 5869, 3.3), because the keyring's keys are uniformly random.
    Its first block is as long as a key.
    """
    return _hmac(key, b"seal" + belongs_to + b"\x01")


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys by id. The primary key seals, all keys open, so that keys can be rotated online."""

    primary_id: str
    keys: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"Keyring(primary_id={self.primary_id!r}, ids={sorted(self.keys)})"

    @classmethod
    def parse(cls, text: str, unwrap: Callable[[str], bytes] | None = None) -> "Keyring":
        """Read `id:base64key[,id:base64key…]`; the first one is the primary.

        With `unwrap`, the keys are wrapped and it returns what a wrapped one is.

        Raises:
            ValueError: an entry is malformed. The message shows no key.
            KmsError: as `unwrap` does.
        """
        keys: dict[str, bytes] = {}
        for position, (key_id, encoded) in enumerate(_entries(text).items(), start=1):
            try:
                key = unwrap(encoded) if unwrap else base64.b64decode(encoded, validate=True)
            except ValueError:
                raise ValueError(f"key {position} ({key_id}) is not base64") from None
            if len(key) != KEY_BYTES:
                raise ValueError(f"key {position} ({key_id}) has {len(key)} bytes, not {KEY_BYTES}")
            keys[key_id] = key
        return cls(next(iter(keys)), keys)

    def seal(self, secret: str, *, business_id: str, purpose: str) -> str:
        """Encrypt a secret for a business and purpose: AES-256-GCM (NIST SP 800-38D)."""
        return self.seal_bytes(secret.encode(), business_id=business_id, purpose=purpose)

    def seal_bytes(self, secret: bytes, *, business_id: str, purpose: str) -> str:
        """Encrypt bytes, as `seal` does."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        belongs_to = _associated_data(business_id, purpose)
        key = _key_for(self.keys[self.primary_id], belongs_to)
        sealed = AESGCM(key).encrypt(nonce, secret, belongs_to)
        return f"{_FORMATS[-1]}:{self.primary_id}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, *, business_id: str, purpose: str) -> str:
        """Decrypt a secret that `seal` encrypted for the same business and purpose.

        Raises:
            UnknownKeyError: the key is not in the keyring.
            SealBrokenError: business or purpose differ, or the secret is damaged.
        """
        return self.open_bytes(sealed, business_id=business_id, purpose=purpose).decode()

    def open_bytes(self, sealed: str, *, business_id: str, purpose: str) -> bytes:
        """Decrypt bytes that `seal_bytes` encrypted for the same business and purpose.

        Raises:
            UnknownKeyError: the key is not in the keyring.
            SealBrokenError: business or purpose differ, or the secret is damaged.
        """
        version, _, rest = sealed.partition(":")
        key_id, _, encoded = rest.partition(":")
        key = self.keys.get(key_id)
        if version not in _FORMATS or key is None:
            raise UnknownKeyError(f"no key {key_id!r} in the keyring opens this secret")
        belongs_to = _associated_data(business_id, purpose)
        if version != "v1":
            key = _key_for(key, belongs_to)
        try:
            raw = base64.b64decode(encoded)
            return AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], belongs_to)
        except (InvalidTag, ValueError):  # ValueError: it is too short, or not base64
            raise SealBrokenError(f"key {key_id!r} does not open this secret here") from None

    def is_newest(self, sealed: str) -> bool:
        """Return whether the primary key sealed a secret, in the present format.

        The beginning of it is enough.
        """
        return sealed.startswith(f"{_FORMATS[-1]}:{self.primary_id}:")

    def reseal(self, sealed: str, *, business_id: str, purpose: str) -> str:
        """Return a secret that was sealed for this business and purpose, as `seal` seals it now.

        Raises:
            UnknownKeyError, SealBrokenError: as `open` does.
        """
        secret = self.open_bytes(sealed, business_id=business_id, purpose=purpose)
        return self.seal_bytes(secret, business_id=business_id, purpose=purpose)

    def fingerprint(self, content: bytes, *, key_id: str, business_id: str, purpose: str) -> str:
        """Return a keyed digest to compare contents by, 64 hexadecimal digits.

        HMAC-SHA256 (RFC 2104), because a plain hash would reveal card numbers.

        Raises:
            UnknownKeyError: the key is not in the keyring.
        """
        key = self.keys.get(key_id)
        if key is None:
            raise UnknownKeyError(f"no key {key_id!r} in the keyring made this fingerprint")
        belongs_to = _associated_data(business_id, purpose)
        return _hmac(_fingerprint_key(key), belongs_to + content).hex()

    def digest_of_change(self, business_id: str, content: bytes) -> str:
        """Return the keyed digest of what a change wrote, under the primary key.

        It is compared with nothing later, so that a key which left the keyring is not missed.
        """
        digest = _change_hmac(self.keys[self.primary_id], business_id).copy()
        digest.update(content)
        return digest.hexdigest()
