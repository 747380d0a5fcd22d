"""The data directory of `nivisco up`: locks, secrets and credentials.

up.lock         locked by the `up` that runs here; contains its pid
processes.lock  locked by that `up` and by every process that it started, until the last ends
secrets.json    the keyring and the service tokens, mode 600
admin.json      the admin business's credentials, mode 600
demo.json       the credentials of the merchant that `nivisco demo` made, mode 600
up.json         where the latest `up` serves, whether with the sandbox, and its processes
nivisco.db      the database, unless another is named
logs/           one file a process
profiles/       what `nivisco profile` had the processes write
"""

import base64
import contextlib
import fcntl
import json
import os
import secrets
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cli.failures import Failure
from rpc.metadata import Credentials

DEFAULT_DATA_DIR = Path("var")
SCOPES = ("scheduler", "webhooks", "operator")
_KEY_BYTES = 32
_EARLIER_PROCESSES_SECONDS = 10.0
"""How long to wait for processes of an earlier run, which end right after their `up`."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The keyring and the service tokens."""

    secret_keys: tuple[tuple[str, str], ...] = field(repr=False)
    """(id, base64 of 32 bytes); the first one seals."""
    service_tokens: dict[str, str] = field(repr=False)
    """Token by scope."""

    def keyring(self) -> str:
        """Return the value of NIVISCO_SECRET_KEYS."""
        return ",".join(f"{key_id}:{key}" for key_id, key in self.secret_keys)

    def tokens(self) -> str:
        """Return the value of NIVISCO_SERVICE_TOKENS."""
        return ",".join(f"{scope}:{token}" for scope, token in self.service_tokens.items())


@dataclass(frozen=True, slots=True)
class DemoMerchant:
    """The merchant of `nivisco demo`, and its user with a card."""

    credentials: Credentials
    user_id: str


@dataclass(frozen=True, slots=True)
class Served:
    """A process of an `up`. Workers of a process share its pid."""

    name: str
    pid: int
    addresses: tuple[str, ...] = ()
    """`host:port` of each, after `https://` or `http://` where it serves HTTP."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where an `up` serves, as URLs."""

    json: str
    sandbox: str | None
    """None where TEST payments go to the gateways' own test systems."""
    version: str = ""
    processes: tuple["Served", ...] = ()


class DataDir:
    """One data directory."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.database = self.path / "nivisco.db"
        self.secrets = self.path / "secrets.json"
        self.admin = self.path / "admin.json"
        self.demo = self.path / "demo.json"
        self.endpoints = self.path / "up.json"
        self.logs = self.path / "logs"
        self.profiles = self.path / "profiles"

    @property
    def is_default(self) -> bool:
        """Whether commands find it without --data-dir."""
        return self.path == DEFAULT_DATA_DIR.absolute()

    def make(self) -> None:
        """Create the directory, logs/ and profiles/, mode 700, unless they exist.

        Raises:
            Failure: they cannot be created.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self.profiles.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Failure(f"Cannot create {error.filename}: {error.strerror}.") from None

    def lock(self) -> int:
        """Lock the directory for this `up`, and return the descriptor that holds the lock.

        Raises:
            Failure: another `up` runs here; the message names its pid.
        """
        descriptor = self._open_lock("up.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise Failure(
                f"Another `nivisco up` (pid {pid}) runs on {self.path}. "
                "Stop it, or choose another directory with --data-dir."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def lock_processes(self, wait_seconds: float = _EARLIER_PROCESSES_SECONDS) -> int:
        """Wait until every process of an earlier run has ended, and return a descriptor to inherit.

        Every process that inherits the descriptor holds the lock until it ends, also by SIGKILL.

        Raises:
            Failure: one still runs after `wait_seconds`.
        """
        descriptor = self._open_lock("processes.lock")
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise Failure(
                        f"A process of an earlier run on {self.path} has not ended. "
                        "Look for it with `ps`, end it, and start again."
                    ) from None
                time.sleep(0.02)
            else:
                return descriptor

    def _open_lock(self, name: str) -> int:
        path = self.path / name
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Failure(f"Cannot write {path}: {error.strerror}.") from None

    def read_or_create_secrets(self, database: Path | None) -> Secrets:
        """Return the secrets, created on the first start. `database` is the SQLite file, if any.

        Raises:
            Failure: they are broken, or missing while a database sealed with them exists.
        """
        if self.secrets.exists():
            return self.read_secrets()
        if database is not None and database.exists() and database.stat().st_size > 0:
            raise Failure(
                f"{self.secrets} is missing, but {database} was sealed with its keys, which cannot "
                "be made again. Restore it from a backup, or choose an empty --data-dir."
            )
        key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
        made = Secrets(
            secret_keys=((f"k{secrets.token_hex(4)}", key),),
            service_tokens={scope: secrets.token_hex(32) for scope in SCOPES},
        )
        content = {
            "secret_keys": [{"id": key_id, "key": key} for key_id, key in made.secret_keys],
            "service_tokens": made.service_tokens,
        }
        write_privately(self.secrets, json.dumps(content, indent=2) + "\n")
        return made

    def read_secrets(self) -> Secrets:
        """Return the secrets that the first `up` created.

        Raises:
            Failure: they cannot be read or are broken. The message contains no secret.
        """
        try:
            found = _secrets_from(json.loads(self.secrets.read_text()))
            self.secrets.chmod(0o600)
        except OSError as error:
            raise Failure(f"Cannot read {self.secrets}: {error.strerror}.") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Failure(
                f"{self.secrets} is broken. It contains the keys that the database is sealed with, "
                "which cannot be made again: restore it from a backup."
            ) from None
        return found

    def read_admin(self) -> Credentials | None:
        """Return the credentials in admin.json; None if it is missing or broken."""
        content = _read_texts(self.admin, "business_id", "api_key")
        return Credentials(*content) if content else None

    def write_admin(self, admin: Credentials) -> None:
        """Store the admin's credentials on one line, which the first screen's sed edits."""
        _write_object(self.admin, business_id=admin.business_id, api_key=admin.api_key)

    def read_demo(self) -> DemoMerchant | None:
        """Return the merchant in demo.json; None if it is missing or broken."""
        content = _read_texts(self.demo, "business_id", "api_key", "user_id")
        return DemoMerchant(Credentials(*content[:2]), content[2]) if content else None

    def write_demo(self, merchant: DemoMerchant) -> None:
        """Store the demo merchant where `nivisco call` finds its credentials."""
        _write_object(
            self.demo,
            business_id=merchant.credentials.business_id,
            api_key=merchant.credentials.api_key,
            user_id=merchant.user_id,
        )

    def read_endpoints(self) -> Endpoints | None:
        """Return where the latest `up` served; None if none did. It may have stopped."""
        try:
            content = json.loads(self.endpoints.read_text())
            return Endpoints(
                content["json"],
                content["sandbox"] or None,
                content.get("version", ""),
                tuple(
                    Served(each["name"], each["pid"], tuple(each["addresses"]))
                    for each in content.get("processes", ())
                ),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write_endpoints(self, endpoints: Endpoints) -> None:
        """Store where this `up` serves."""
        content = asdict(endpoints) | {"sandbox": endpoints.sandbox or ""}
        write_privately(self.endpoints, json.dumps(content) + "\n")


def _write_object(path: Path, **content: str) -> None:
    write_privately(path, json.dumps(content) + "\n")


def _read_texts(file: Path, *names: str) -> list[str] | None:
    """Return strings of a JSON object by their names; None if one is missing."""
    try:
        content = json.loads(file.read_text())
        found = [content[name] for name in names]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if all(isinstance(each, str) for each in found) else None


def _secrets_from(content: Any) -> Secrets:
    keys = tuple((entry["id"], entry["key"]) for entry in content["secret_keys"])
    tokens = {scope: content["service_tokens"][scope] for scope in SCOPES}
    for key_id, key in keys:
        if not key_id.isalnum() or len(base64.b64decode(key, validate=True)) != _KEY_BYTES:
            raise ValueError("not a key")
    if not keys or not all(isinstance(token, str) and token for token in tokens.values()):
        raise ValueError("no key, or no token")
    return Secrets(keys, tokens)


def write_privately(path: Path, content: str) -> None:
    """Replace a file atomically and durably, mode 600 (mkstemp's)."""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise Failure(f"Cannot write {path}: {error.strerror}.") from None


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
