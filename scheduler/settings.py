"""The scheduler's settings, read from the environment; it never connects anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rpc.addresses import grpc_target
from rpc.settings import count, host_and_port, seconds
from rpc.tls import ClientTls

_LEAST_LEASE_SECONDS = 3.0
"""A third of it, after which it is renewed, must be longer than a call to a busy core takes."""


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """Where the core is, and how much is done at once. Times in seconds. `repr` shows no secret."""

    service_token: str = field(repr=False)
    """The token of scope `scheduler` that the core accepts."""
    core_target: str = "127.0.0.1:50051"
    """Where the core or cores serve, in one of the forms that core.channels reads."""
    core_tls: ClientTls | None = None
    """None for a core on this machine."""
    core_timeout_seconds: float = 25.0
    """How long one call to the core may take."""
    host: str = "127.0.0.1"
    port: int = 8081
    """Where health and metrics are served, on loopback; 0 lets the system choose."""
    poll_seconds: float = 1.0
    """How often the core is asked for what is due."""
    lease_seconds: float = 30.0
    """How long what is claimed belongs to this scheduler, renewed at a third of it."""
    concurrency: int = 64
    """How many occurrences are executed at once."""
    per_business: int = 32
    """How many of one business are."""
    drain_seconds: float = 28.0
    """How long a stop waits for what is being executed."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "SchedulerSettings":
        """Read the variables that docs/operating.md lists; what is absent or empty is the default.

        NIVISCO_SERVICE_TOKEN, NIVISCO_CORE, NIVISCO_CORE_TLS_*, NIVISCO_CORE_TIMEOUT_SECONDS,
        NIVISCO_DRAIN_SECONDS, NIVISCO_SCHEDULER_*.

        Raises:
            ValueError: a variable is missing or holds no usable value; the message names it.
        """
        token = environ.get("NIVISCO_SERVICE_TOKEN", "")
        if not token:
            raise ValueError(
                "NIVISCO_SERVICE_TOKEN is not set: the token of scope scheduler, which stands in "
                "the core's NIVISCO_SERVICE_TOKENS, or in secrets.json of --data-dir"
            )
        default = cls(token)
        address = environ.get("NIVISCO_SCHEDULER_HTTP") or f"{default.host}:{default.port}"
        host, port = host_and_port("NIVISCO_SCHEDULER_HTTP", address)
        core_target = environ.get("NIVISCO_CORE") or default.core_target
        grpc_target(core_target)  # what is none is refused now
        lease = seconds(environ, "NIVISCO_SCHEDULER_LEASE_SECONDS", default.lease_seconds)
        if lease < _LEAST_LEASE_SECONDS:
            raise ValueError(
                f"NIVISCO_SCHEDULER_LEASE_SECONDS must be {_LEAST_LEASE_SECONDS:g} at least"
            )
        return cls(
            service_token=token,
            core_target=core_target,
            core_tls=ClientTls.from_environment(environ),
            core_timeout_seconds=seconds(
                environ, "NIVISCO_CORE_TIMEOUT_SECONDS", default.core_timeout_seconds
            ),
            host=host,
            port=port,
            poll_seconds=seconds(environ, "NIVISCO_SCHEDULER_POLL_SECONDS", default.poll_seconds),
            lease_seconds=lease,
            concurrency=count(environ, "NIVISCO_SCHEDULER_CONCURRENCY", default.concurrency),
            per_business=count(environ, "NIVISCO_SCHEDULER_PER_BUSINESS", default.per_business),
            drain_seconds=seconds(environ, "NIVISCO_DRAIN_SECONDS", default.drain_seconds),
        )
