"""The adapter's settings, read from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from adapter.plain_http import Network, read_networks
from rpc.addresses import grpc_target
from rpc.certificates import KeyPairFiles, key_pair_files
from rpc.credential_failures import PER_MINUTE
from rpc.settings import count, host_and_port, metrics_address, seconds
from rpc.tls import ClientTls


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """Addresses, certificates and limits of the adapter. Times in seconds."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 means any free port."""
    core_target: str = "127.0.0.1:50051"
    """Address of the core or cores; rpc.addresses describes the forms."""
    core_timeout_seconds: float = 25.0
    """Deadline of one call to the core; clients wait 30 s."""
    max_in_flight: int = 1024
    """Most requests in flight; the next one gets 429."""
    body_timeout_seconds: float = 10.0
    """Timeout of receiving a body."""
    webhook_failures_per_minute: int = 60
    """Webhooks without a valid signature after which an address is limited."""
    credential_failures_per_minute: int = PER_MINUTE
    """Wrong credentials after which an address is limited; 0: never."""
    tls: KeyPairFiles | None = None
    """The public endpoint's certificate; None for plain HTTP."""
    trusted_proxies: tuple[Network, ...] = ()
    """Peers besides this machine that may use plain HTTP."""
    core_tls: ClientTls | None = None
    """None for a core on this machine, without TLS."""
    webhooks_token: str = field(default="", repr=False)
    """Service token for the core's webhook service; empty: webhooks are rejected."""
    lame_duck_seconds: float = 1.0
    """How long it accepts requests after the stop signal, one more on each connection."""
    metrics: tuple[str, int] | None = None
    """Host and port of health and metrics; None: they are not served."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "AdapterSettings":
        """Read the variables that docs/operating.md lists; empty ones count as absent.

        NIVISCO_HTTP (`host:port`), NIVISCO_CORE, NIVISCO_CORE_TIMEOUT_SECONDS,
        NIVISCO_HTTP_MAX_IN_FLIGHT, NIVISCO_HTTP_BODY_TIMEOUT_SECONDS, NIVISCO_LAME_DUCK_SECONDS,
        NIVISCO_WEBHOOK_FAILURES_PER_MINUTE, NIVISCO_LIMIT_ADDRESS_FAILURES, NIVISCO_TLS_*,
        NIVISCO_TRUSTED_PROXIES, NIVISCO_CORE_TLS_*, NIVISCO_WEBHOOKS_TOKEN, NIVISCO_METRICS.

        Raises:
            ValueError: a value is unusable; the message names the variable.
        """
        default = cls()
        address = environ.get("NIVISCO_HTTP") or f"{default.host}:{default.port}"
        host, port = host_and_port("NIVISCO_HTTP", address)
        core_target = environ.get("NIVISCO_CORE") or default.core_target
        grpc_target(core_target)  # raises now, not at the first call
        return cls(
            host=host,
            port=port,
            core_target=core_target,
            core_timeout_seconds=seconds(
                environ, "NIVISCO_CORE_TIMEOUT_SECONDS", default.core_timeout_seconds
            ),
            max_in_flight=count(environ, "NIVISCO_HTTP_MAX_IN_FLIGHT", default.max_in_flight),
            body_timeout_seconds=seconds(
                environ, "NIVISCO_HTTP_BODY_TIMEOUT_SECONDS", default.body_timeout_seconds
            ),
            webhook_failures_per_minute=count(
                environ,
                "NIVISCO_WEBHOOK_FAILURES_PER_MINUTE",
                default.webhook_failures_per_minute,
            ),
            credential_failures_per_minute=count(
                environ,
                "NIVISCO_LIMIT_ADDRESS_FAILURES",
                default.credential_failures_per_minute,
                least=0,
            ),
            tls=key_pair_files(environ, "NIVISCO_TLS_CERTIFICATE_FILE", "NIVISCO_TLS_KEY_FILE"),
            trusted_proxies=read_networks(
                "NIVISCO_TRUSTED_PROXIES", environ.get("NIVISCO_TRUSTED_PROXIES", "")
            ),
            core_tls=ClientTls.from_environment(environ),
            webhooks_token=environ.get("NIVISCO_WEBHOOKS_TOKEN", ""),
            lame_duck_seconds=seconds(
                environ, "NIVISCO_LAME_DUCK_SECONDS", default.lame_duck_seconds, allow_zero=True
            ),
            metrics=metrics_address(environ),
        )
