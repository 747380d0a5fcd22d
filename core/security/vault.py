"""Wraps keys with the transit secrets engine of HashiCorp Vault, over its HTTP API.

Requests and answers: https://developer.hashicorp.com/vault/api-docs/secret/transit (Encrypt Data,
Decrypt Data). Status codes: https://developer.hashicorp.com/vault/api-docs (HTTP Status Codes).
"""

import base64
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from core.security.kms import KmsError

_TIMEOUT_SECONDS = 10.0
_LARGEST_ANSWER_BYTES = 65_536
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ADVICE = {
    400: "the key was wrapped with another key of Vault, or is damaged",
    403: "NIVISCO_VAULT_TOKEN is refused: it needs update on encrypt/ and decrypt/ of the key",
    404: "there is no such path: look at NIVISCO_VAULT_URL, NIVISCO_VAULT_MOUNT and …_KEY",
    503: "Vault is sealed or down for maintenance",
}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: the token would follow one to any host."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none, so that the answer is an error."""


@dataclass(frozen=True, slots=True)
class VaultTransit:
    """One key of Vault's transit engine."""

    url: str
    """Of the key's engine, for example `https://vault:8200/v1/transit`."""
    key_name: str
    token: str = field(repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def wrap(self, key: bytes) -> str:
        """Encrypt a key. Raises KmsError."""
        return self._call("encrypt", "ciphertext", plaintext=base64.b64encode(key).decode())

    def unwrap(self, wrapped: str) -> bytes:
        """Decrypt a key. Raises KmsError."""
        try:
            return base64.b64decode(
                self._call("decrypt", "plaintext", ciphertext=wrapped), validate=True
            )
        except ValueError:
            raise KmsError(f"Vault at {self.url} answered something else than a key") from None

    def _call(self, operation: str, result: str, **body: str) -> str:
        request = urllib.request.Request(  # noqa: S310 - `from_environment` checks the scheme
            f"{self.url}/{operation}/{urllib.parse.quote(self.key_name, safe='')}",
            json.dumps(body).encode(),
            {"X-Vault-Token": self.token, "Content-Type": "application/json"},
        )
        # Without proxies of the environment, which are for other hosts than Vault.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            _NoRedirects(),
            urllib.request.HTTPSHandler(context=self.tls),
        )
        try:
            with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                text = answer.read(_LARGEST_ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            advice = _ADVICE.get(error.code, "see Vault's log")
            error.close()
            raise KmsError(f"Vault at {self.url} answered {error.code}: {advice}") from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise KmsError(f"Vault at {self.url} does not answer: {reason}") from None
        try:
            found = json.loads(text)["data"][result]
        except (ValueError, KeyError, TypeError):
            found = None
        if not isinstance(found, str) or not found.isprintable() or set(" ,") & set(found):
            raise KmsError(f"Vault at {self.url} answered something else than a key")
        return found


def from_environment(environ: Mapping[str, str]) -> VaultTransit:
    """Read the NIVISCO_VAULT_* variables.

    Raises:
        ValueError: a variable is missing or malformed; the message names it.
    """
    for name in ("NIVISCO_VAULT_URL", "NIVISCO_VAULT_TOKEN", "NIVISCO_VAULT_KEY"):
        if not environ.get(name):
            raise ValueError(f"{name} is not set, and NIVISCO_KMS=vault needs it")
    url, token = environ["NIVISCO_VAULT_URL"].rstrip("/"), environ["NIVISCO_VAULT_TOKEN"]
    if "@" in url:  # it would be shown, and Vault reads the token only
        raise ValueError("NIVISCO_VAULT_URL must have no user or password")
    parts = urllib.parse.urlsplit(url)
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("NIVISCO_VAULT_URL is not an http(s) address")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("NIVISCO_VAULT_URL must be https: keys would be sent in plain text")
    if not (token.isascii() and token.isprintable()):
        raise ValueError("NIVISCO_VAULT_TOKEN has characters that a token never has")
    tls = None
    if ca_file := environ.get("NIVISCO_VAULT_CA_FILE"):
        try:
            tls = ssl.create_default_context(cafile=ca_file)
        except OSError as error:  # an SSLError is one
            raise ValueError(f"NIVISCO_VAULT_CA_FILE cannot be used: {error}") from None
    mount = environ.get("NIVISCO_VAULT_MOUNT") or "transit"
    return VaultTransit(f"{url}/v1/{mount.strip('/')}", environ["NIVISCO_VAULT_KEY"], token, tls)
