"""Secrets in memory: API keys and their hashes, and texts that no log or trace shows."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that passes through memory and shows in no log, error or trace: `repr` hides it."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """Return the text, for the one place that must send it."""
        return self._text


def hash_api_key(api_key: str) -> str:
    """Return the SHA-256 of an API key in hexadecimal.

    A plain hash suffices for 256 random bits: there is nothing to guess.
    """
    return hashlib.sha256(api_key.encode()).hexdigest()


def api_key_matches(api_key: str, stored_hash: str) -> bool:
    """Compare a presented API key with a stored hash, in constant time."""
    return hmac.compare_digest(hash_api_key(api_key), stored_hash)


def new_api_key() -> str:
    """Return 64 random hexadecimal digits."""
    return secrets.token_hex(32)
