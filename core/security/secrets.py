"""API keys and their hashes, and secrets that `repr` hides."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret text, which `repr` hides from logs, errors and traces."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """Return the text."""
        return self._text


def hash_api_key(api_key: str) -> str:
    """Return the SHA-256 of an API key in hexadecimal.

    A plain hash suffices, because 256 random bits cannot be guessed.
    """
    return hashlib.sha256(api_key.encode()).hexdigest()


def api_key_matches(api_key: str, stored_hash: str) -> bool:
    """Return whether an API key has the stored hash. Compares in constant time."""
    return hmac.compare_digest(hash_api_key(api_key), stored_hash)


def new_api_key() -> str:
    """Return 64 random hexadecimal digits."""
    return secrets.token_hex(32)
