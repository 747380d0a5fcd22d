"""Reads and checks the core's settings from the environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from core.database.engines import POSTGRESQL_CONNECTIONS, POSTGRESQL_LIST_CONNECTIONS
from core.limits import (
    BUSINESS_LIMIT_MAX,
    CARD_ATTEMPTS_MAX,
    DEFAULT_BUSINESS_LIMITS,
    DEFAULT_LIMITS,
    BusinessLimits,
    CardTestingLimits,
)
from core.security.keyring import Keyring
from core.security.kms import KmsError, kms_of
from rpc.certificates import MutualTlsFiles, mutual_tls_files
from rpc.credential_failures import PER_MINUTE
from rpc.settings import count, metrics_address, seconds

DEFAULT_LISTEN = "127.0.0.1:50051"
STRIPE_URL = "https://api.stripe.com"
AUTHORIZE_URLS = {"TEST": "https://apitest.authorize.net", "LIVE": "https://api.authorize.net"}
SCOPES = ("scheduler", "webhooks", "operator")
EVENTS_DAYS = 90
EVENTS_DAYS_MIN = 30
"""Stripe's CLI resends events for so long (docs.stripe.com/webhooks), and they count as known."""
_MIN_TOKEN_CHARACTERS = 32
_MAX_SECONDS = 3600
_MAX_WINDOW = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """Settings of a core process. `repr` shows no secret."""

    database_url: str = field(repr=False)
    keyring: Keyring
    service_tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Scope by token."""
    listen: str = DEFAULT_LISTEN
    """`host:port` or `unix:/path`."""
    tls: MutualTlsFiles | None = None
    """None: plain gRPC, on loopback or a unix socket only."""
    stripe_urls: Mapping[str, str] = field(
        default_factory=lambda: {"TEST": STRIPE_URL, "LIVE": STRIPE_URL}
    )
    authorize_urls: Mapping[str, str] = field(default_factory=lambda: AUTHORIZE_URLS)
    gateway_timeout_seconds: float = 20.0
    authorize_settle_seconds: float = 180.0
    """How long a charge that Authorize.Net does not list may still be in flight."""
    lame_duck_seconds: float = 1.0
    """How long the core still serves after it reports NOT_SERVING."""
    drain_seconds: float = 28.0
    migrate: bool = False
    database_pool: int = POSTGRESQL_CONNECTIONS
    """Maximum number of connections to PostgreSQL; SQLite has one."""
    database_list_pool: int = POSTGRESQL_LIST_CONNECTIONS
    """The same, of connections that only lists use."""
    test_clock: bool = False
    """Whether test clocks can advance the time of TEST jobs."""
    keep_answers_days: int = 1
    """How long idempotency keys are remembered; 1 is what the reference promises."""
    keep_ignored_events_days: int = EVENTS_DAYS
    """How long gateway events are kept on which no payment depends."""
    metrics: tuple[str, int] | None = None
    """Host and port of health and metrics; None: they are not served."""
    card_testing: CardTestingLimits = DEFAULT_LIMITS
    credential_failures_per_minute: int = PER_MINUTE
    """Wrong credentials of unary calls after which an address is limited; 0: never."""
    business_limits: BusinessLimits = DEFAULT_BUSINESS_LIMITS
    """Of businesses that have none of their own."""
    audit_checkpoints: str | None = None
    """File that checkpoints of the audit trail are appended to, or `log`; None: there are none."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "CoreSettings":
        """Read the NIVISCO_* variables.

        Raises:
            ValueError: a variable is missing or malformed; the message names it.
        """
        settings = cls(
            database_url=_required(
                environ, "NIVISCO_DATABASE_URL", "for example sqlite+aiosqlite:////var/nivisco.db"
            ),
            keyring=_keyring(environ),
            service_tokens=_service_tokens(environ.get("NIVISCO_SERVICE_TOKENS", "")),
            listen=environ.get("NIVISCO_GRPC") or DEFAULT_LISTEN,
            tls=mutual_tls_files(
                environ,
                "NIVISCO_GRPC_TLS_CERTIFICATE_FILE",
                "NIVISCO_GRPC_TLS_KEY_FILE",
                "NIVISCO_GRPC_TLS_CLIENT_CA_FILE",
            ),
            stripe_urls={
                env: _url(environ, f"NIVISCO_STRIPE_{env}_URL", STRIPE_URL)
                for env in ("TEST", "LIVE")
            },
            authorize_urls={
                env: _url(environ, f"NIVISCO_AUTHORIZE_{env}_URL", default)
                for env, default in AUTHORIZE_URLS.items()
            },
            gateway_timeout_seconds=seconds(
                environ, "NIVISCO_GATEWAY_TIMEOUT_SECONDS", 20.0, most=_MAX_SECONDS
            ),
            authorize_settle_seconds=seconds(
                environ, "NIVISCO_AUTHORIZE_SETTLE_SECONDS", 180.0, most=_MAX_SECONDS
            ),
            lame_duck_seconds=seconds(
                environ, "NIVISCO_LAME_DUCK_SECONDS", 1.0, most=_MAX_SECONDS, allow_zero=True
            ),
            drain_seconds=seconds(environ, "NIVISCO_DRAIN_SECONDS", 28.0, most=_MAX_SECONDS),
            migrate=environ.get("NIVISCO_MIGRATE", "") == "1",
            database_pool=count(
                environ, "NIVISCO_DATABASE_POOL", POSTGRESQL_CONNECTIONS, most=1000
            ),
            database_list_pool=count(
                environ, "NIVISCO_DATABASE_LIST_POOL", POSTGRESQL_LIST_CONNECTIONS, most=1000
            ),
            test_clock=environ.get("NIVISCO_TEST_CLOCK", "") == "1",
            keep_answers_days=count(environ, "NIVISCO_KEEP_ANSWERS_DAYS", 1, most=30),
            keep_ignored_events_days=count(
                environ,
                "NIVISCO_KEEP_IGNORED_EVENTS_DAYS",
                EVENTS_DAYS,
                least=EVENTS_DAYS_MIN,
                most=3650,
            ),
            metrics=metrics_address(environ),
            card_testing=_card_testing(environ),
            credential_failures_per_minute=count(
                environ, "NIVISCO_LIMIT_ADDRESS_FAILURES", PER_MINUTE, least=0
            ),
            business_limits=_business_limits(environ),
            audit_checkpoints=environ.get("NIVISCO_AUDIT_CHECKPOINTS") or None,
        )
        if settings.authorize_settle_seconds <= settings.gateway_timeout_seconds:
            raise ValueError(
                "NIVISCO_AUTHORIZE_SETTLE_SECONDS must be more than NIVISCO_GATEWAY_TIMEOUT_SECONDS"
                ": a charge that is still on its way would be sent again"
            )
        return settings


def _card_testing(environ: Mapping[str, str]) -> CardTestingLimits:
    default = DEFAULT_LIMITS
    window = seconds(
        environ, "NIVISCO_LIMIT_WINDOW_SECONDS", default.window.total_seconds(), most=_MAX_WINDOW
    )
    return CardTestingLimits(
        timedelta(seconds=window),
        *(
            count(environ, name, value, least=0, most=CARD_ATTEMPTS_MAX)
            for name, value in (
                ("NIVISCO_LIMIT_USER_DECLINES", default.user_declines),
                ("NIVISCO_LIMIT_CARD_DECLINES", default.card_declines),
                ("NIVISCO_LIMIT_CARD_SAVES", default.card_saves),
            )
        ),
    )


def _business_limits(environ: Mapping[str, str]) -> BusinessLimits:
    default = DEFAULT_BUSINESS_LIMITS
    return BusinessLimits(
        *(
            count(environ, name, value or 0, least=0, most=BUSINESS_LIMIT_MAX)
            for name, value in (
                ("NIVISCO_LIMIT_BUSINESS_REQUESTS", default.requests_per_second),
                ("NIVISCO_LIMIT_BUSINESS_GATEWAY_REQUESTS", default.gateway_requests),
            )
        )
    )


def _required(environ: Mapping[str, str], name: str, example: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise ValueError(f"{name} is not set ({example})")
    return value


def _keyring(environ: Mapping[str, str]) -> Keyring:
    text = _required(environ, "NIVISCO_SECRET_KEYS", "id:base64key, 32 random bytes")
    kms = kms_of(environ)
    try:
        return Keyring.parse(text, kms.unwrap if kms else None)
    except (ValueError, KmsError) as error:
        raise ValueError(f"NIVISCO_SECRET_KEYS: {error}") from None


def _service_tokens(text: str) -> dict[str, str]:
    tokens: dict[str, str] = {}
    for position, entry in enumerate(filter(None, text.split(",")), start=1):
        scope, _, token = entry.strip().partition(":")
        if scope not in SCOPES or len(token) < _MIN_TOKEN_CHARACTERS or token in tokens:
            raise ValueError(
                f"NIVISCO_SERVICE_TOKENS: entry {position} is not <scope>:<token> with a scope of "
                f"{', '.join(SCOPES)} and its own token of at least {_MIN_TOKEN_CHARACTERS} "
                "characters"
            )
        tokens[token] = scope
    return tokens


def _url(environ: Mapping[str, str], name: str, default: str) -> str:
    value = environ.get(name) or default
    if not re.match(r"https?://[^/]", value):
        raise ValueError(f"{name} is not an http(s) address")
    if "@" in value:  # it would be shown, and no gateway reads it
        raise ValueError(f"{name} must have no user or password")
    return value.rstrip("/")
