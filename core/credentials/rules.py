"""Rules of gateway credentials. Pure."""

from collections.abc import Mapping

from core.errors import FieldProblem, InvalidFields

TRANSACTION_KEY_CHARACTERS_MAX = 16
"""Authorize.Net's schema allows no more (merchantAuthenticationType)."""
KEYS_WITH_ENV = ("stripe_secret_key", "stripe_public_key")


def check_stripe_keys_fit_env(env: str, keys: Mapping[str, str | None]) -> None:
    """Check that TEST keys contain `_test_` and LIVE keys `_live_` (docs.stripe.com/keys).

    Raises:
        InvalidFields: a key belongs to the other environment.
    """
    problems = [
        FieldProblem(f"credentials.{name}", f"is not a {env} key: it must hold _{env.lower()}_")
        for name in KEYS_WITH_ENV
        if (key := keys.get(name)) and f"_{env.lower()}_" not in key[:9]
    ]
    if problems:
        raise InvalidFields(problems)


def check_transaction_key_length(transaction_key: str) -> None:
    """Check that Authorize.Net accepts the key's length; longer keys can be stored.

    Raises:
        InvalidFields: the key is too long.
    """
    if len(transaction_key) > TRANSACTION_KEY_CHARACTERS_MAX:
        raise InvalidFields.of(
            "credentials.transaction_key",
            f"as stored is longer than the {TRANSACTION_KEY_CHARACTERS_MAX} characters that "
            "Authorize.Net takes: store the right one with modify_authorize_credentials",
        )
