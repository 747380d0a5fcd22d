"""The scheduler's settings, read from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rpc.addresses import grpc_target
from rpc.settings import count, host_and_port, metrics_address, seconds
from rpc.tls import ClientTls

_LEAST_LEASE_SECONDS = 3.0
"""A lease is renewed after a third of it, which must be longer than a call to a busy core."""


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """The settings of one scheduler. `repr` shows no secret."""

    service_token: str = field(repr=False)
    """The token of scope `scheduler` that the core accepts."""
    core_target: str = "127.0.0.1:50051"
    """Where the core or cores serve, in a form that rpc.addresses reads."""
    core_tls: ClientTls | None = None
    """None for a core on this machine."""
    core_timeout_seconds: float = 25.0
    """Deadline of a call to the core."""
    host: str = "127.0.0.1"
    port: int = 8081
    """Where health and metrics are served; 0 lets the system choose."""
    poll_seconds: float = 1.0
    """Time between two claims."""
    lease_seconds: float = 30.0
    """How long a claim lasts; renewed after a third of it."""
    concurrency: int = 64
    """Occurrences in flight at most."""
    per_business: int = 32
    """Occurrences of one business in flight at most."""
    drain_seconds: float = 28.0
    """How long a stop waits for occurrences in flight."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "SchedulerSettings":
        """Read the variables; an absent or empty one means the default.

        NIVISCO_SERVICE_TOKEN, NIVISCO_CORE, NIVISCO_CORE_TLS_*, NIVISCO_CORE_TIMEOUT_SECONDS,
        NIVISCO_DRAIN_SECONDS, NIVISCO_METRICS and NIVISCO_SCHEDULER_*, as docs/operating.md
        describes them.

        Raises:
            ValueError: a variable is missing or cannot be used; the message names it.
        """
        token = environ.get("NIVISCO_SERVICE_TOKEN", "")
        if not token:
            raise ValueError(
                "NIVISCO_SERVICE_TOKEN is not set: the token of scope scheduler from the core's "
                "NIVISCO_SERVICE_TOKENS, or from secrets.json of --data-dir"
            )
        default = cls(token)
        address = environ.get("NIVISCO_SCHEDULER_HTTP") or f"{default.host}:{default.port}"
        host, port = metrics_address(environ) or host_and_port("NIVISCO_SCHEDULER_HTTP", address)
        core_target = environ.get("NIVISCO_CORE") or default.core_target
        grpc_target(core_target)  # raises if it is malformed
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
