"""Finds the key management service that wraps the keys of the keyring: docs/operating.md."""

import importlib
from collections.abc import Mapping
from typing import Protocol

SETTING = "NIVISCO_KMS"
_BUILT_IN = {"vault": "core.security.vault:from_environment"}


class KmsError(Exception):
    """The service did not wrap or unwrap a key. Its message shows no secret and says why."""


class Kms(Protocol):
    """Wraps keys of the keyring with a key that never leaves the service.

    It is asked when a process starts or makes a key, never during a request, and may block.
    """

    def wrap(self, key: bytes) -> str:
        """Return a key encrypted, as text without white space and commas.

        Raises:
            KmsError: the service refused, or did not answer.
        """

    def unwrap(self, wrapped: str) -> bytes:
        """Return the key that `wrap` encrypted.

        Raises:
            KmsError: the service refused, or did not answer.
        """


def kms_of(environ: Mapping[str, str]) -> Kms | None:
    """Return the service that NIVISCO_KMS names, None without one.

    It is `vault`, or `package.module:function` of a package that is installed beside: a function
    of the settings which returns a Kms, and raises ValueError for a wrong setting.

    Raises:
        ValueError: there is no such function, or it refused its settings.
    """
    name = environ.get(SETTING)
    if not name:
        return None
    module, _, function = _BUILT_IN.get(name, name).partition(":")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        known = ", ".join(_BUILT_IN)
        raise ValueError(
            f"{SETTING} is neither {known} nor package.module:function of an installed package: "
            f"{error}"
        ) from None
    kms: Kms = make(environ)
    return kms
