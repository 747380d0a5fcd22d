"""The commands `secrets rotate` and `secrets new-key`: the keyring's keys, and what they seal."""

import asyncio
import base64
import os
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any

import click

from cli.call_output import print_json
from cli.failures import Failure, SettingsError, sentence
from cli.groups import Group
from cli.operators import call_operator, core_options, json_option, shown
from nivisco.internal.v1 import operator_pb2 as pb
from rpc.addresses import DNS, single_targets

PASSES = 5
"""How often rows are read again that were sealed with an older key, or were locked, meanwhile."""
_PROGRESS_PAGES = 20
_FINGERPRINTS = "fingerprints"
_CANARIES = "keyring_canaries"


@dataclass
class Key:
    """What needs a key of the keyring."""

    sealed_rows: dict[str, int] = field(default_factory=dict)
    """Number of rows with secrets, by table."""
    fingerprints: int = 0
    open_fingerprints: int = 0
    fingerprints_until: str | None = None
    last_used_at: str | None = None

    def add(self, use: dict[str, Any]) -> None:
        """Add what a page says."""
        if use["needed_by"] == _FINGERPRINTS:
            self.fingerprints += int(use["rows"])
            self.open_fingerprints += int(use["open_rows"])
            self.fingerprints_until = _later(self.fingerprints_until, use["until"])
            self.last_used_at = _later(self.last_used_at, use["last_at"])
        elif use["needed_by"] != _CANARIES:
            rows = self.sealed_rows.get(use["needed_by"], 0)
            self.sealed_rows[use["needed_by"]] = rows + int(use["rows"])

    @property
    def is_needed(self) -> bool:
        """Whether something cannot be opened or compared without it."""
        return bool(self.sealed_rows or self.fingerprints)


@dataclass
class Pass:
    """What one pass over everything found."""

    key_id: str = ""
    began_at: str = ""
    rows: int = 0
    resealed: int = 0
    unreadable: int = 0
    keys: dict[str, Key] = field(default_factory=lambda: defaultdict(Key))

    @property
    def older(self) -> dict[str, Key]:
        """The keys besides the one that seals."""
        return {name: key for name, key in sorted(self.keys.items()) if name != self.key_id}

    @property
    def is_left(self) -> bool:
        """Whether something is sealed with an older key, besides what does not open."""
        return any(key.sealed_rows for key in self.older.values())


@click.group(cls=Group)
def secrets() -> None:
    """Make keys of the keyring, seal what is stored with the newest, and retire the others."""


@secrets.command("new-key")
@click.option("--wrap", is_flag=True, help="Wrap the key of the input instead of a new one.")
def new_key(*, wrap: bool) -> None:
    """Print a new key for NIVISCO_SECRET_KEYS, wrapped by the service in NIVISCO_KMS if it is set.

    Put it first, before the older ones and a comma. With NIVISCO_KMS all keys must be wrapped:
    `--wrap` reads an older one, `id:base64key`, from the input and prints it wrapped.
    """
    from core.security.keyring import KEY_BYTES, Keyring
    from core.security.kms import KmsError, kms_of

    key_id, key = f"k{token_hex(4)}", token_bytes(KEY_BYTES)
    try:
        kms = kms_of(os.environ)
        if wrap:
            entry = sys.stdin.readline()
            key_id, key = next(iter(Keyring.parse(entry).keys.items()))
        encoded = base64.b64encode(key).decode() if kms is None else kms.wrap(key)
    except ValueError as error:
        raise SettingsError(sentence(error)) from None
    except KmsError as error:
        raise Failure(sentence(error)) from None
    click.echo(f"{key_id}:{encoded}")


@secrets.command()
@click.option("--check", is_flag=True, help="Change nothing: say what needs which key.")
@json_option
@core_options
def rotate(target: str, data_dir: Path | None, *, check: bool, as_json: bool) -> None:
    """Seal everything again that an older key of the keyring sealed, while the cores serve.

    The newest key is the first one of NIVISCO_SECRET_KEYS, which every core has by then. A run that
    was interrupted is continued by the next one. Afterwards it says of each older key what needs
    it, and until when; a key that nothing needs may be removed from the keyring.

    Exit code 0: everything is sealed with the newest key (with --check: and no older key is
    needed); 1: not, or a core still uses an older one.

    \b
    nivisco secrets rotate
    nivisco secrets rotate --check
    """  # noqa: D301 - \b keeps the lines apart
    if not check:
        _check_that_cores_agree(target, data_dir)
    first = found = _pass(target, data_dir, None, check_only=check)
    resealed = found.resealed
    for _ in range(PASSES - 1):
        if check or not (found.resealed or found.is_left) or found.unreadable:
            break
        found = _pass(target, data_dir, found.key_id, check_only=False)
        resealed += found.resealed
    using = [
        key_id
        for key_id, key in found.older.items()
        if not check and key.last_used_at and key.last_used_at > first.began_at
    ]
    if as_json:
        print_json(_values(found, resealed, using))
    else:
        click.echo("\n".join(_lines(found, resealed, using, check=check)))
    if found.is_left or found.unreadable or using:
        raise click.exceptions.Exit(1)
    if check and any(key.is_needed for key in found.older.values()):
        raise click.exceptions.Exit(1)


def _check_that_cores_agree(target: str, data_dir: Path | None) -> None:
    """Ask each core for the key that it seals with.

    Raises:
        Failure: they seal with different keys, so that not all of them have got the newest.
    """
    request, name = pb.RotateSecretsRequest(check_only=True), ""
    if target.startswith(DNS):
        name = target.removeprefix(DNS).rpartition(":")[0]
    key_ids = {
        core: call_operator(core, data_dir, request, server_name=name)["key_id"]
        for core in _single_cores(target)
    }
    if len(set(key_ids.values())) > 1:
        named = ", ".join(f"{core} with {shown(key_id)}" for core, key_id in key_ids.items())
        raise Failure(
            f"The cores seal with different keys: {named}. Restart them with the newest key first "
            "in NIVISCO_SECRET_KEYS."
        )


def _single_cores(target: str) -> list[str]:
    """Return the address of each core, also of those that share a name."""
    if not target.startswith(DNS):
        return target.split(",")
    try:
        found = asyncio.run(single_targets(target))
    except ValueError as error:
        raise SettingsError(sentence(error)) from None
    except OSError as error:
        raise Failure(f"{shown(target)} is not known: {sentence(error)}") from None
    return [each.partition(":")[2] for each in found]


def _pass(target: str, data_dir: Path | None, key_id: str | None, *, check_only: bool) -> Pass:
    """Have the cores read everything that is sealed, a page at a time."""
    found, position, pages = Pass(), "", 0
    while True:
        request = pb.RotateSecretsRequest(
            position=position, key_id=found.key_id or key_id, check_only=check_only
        )
        page = call_operator(target, data_dir, request)
        found.key_id = page["key_id"]
        found.began_at = found.began_at or page["read_at"]
        found.rows += int(page["rows"])
        found.resealed += int(page["resealed"])
        found.unreadable += int(page["unreadable"])
        for use in page["uses"]:
            found.keys[use["key_id"]].add(use)
        position, pages = page["next_position"], pages + 1
        if not position:
            return found
        if pages % _PROGRESS_PAGES == 0:
            click.echo(f"{found.rows:,} rows read, {found.resealed:,} sealed again …", err=True)


def _lines(found: Pass, resealed: int, using: list[str], *, check: bool) -> list[str]:
    newest = shown(found.key_id)
    lines = [] if check else [f"{resealed:,} rows were sealed again with key {newest}."]
    lines.append(
        f"Key {newest} is the newest: the core seals with it.{_needs(found.keys[found.key_id])}"
    )
    for key_id, key in found.older.items():
        name = shown(key_id)
        if not key.is_needed:
            lines.append(
                f"Key {name} is retired: nothing needs it. Remove it from NIVISCO_SECRET_KEYS of "
                "every core."
            )
            continue
        lines.append(f"Key {name} is still needed.{_needs(key)}")
        if key.sealed_rows and check:
            lines.append("  `nivisco secrets rotate` seals them again.")
    lines += (
        f"A core still uses key {shown(key_id)}, last at {found.keys[key_id].last_used_at}: "
        f"restart it with key {newest} first in NIVISCO_SECRET_KEYS, then repeat this command."
        for key_id in using
    )
    if found.unreadable:
        lines.append(
            f"{found.unreadable:,} rows have a secret that does not open: the core's log names "
            "them (`secret does not open, not sealed again`)."
        )
    elif found.is_left and not check:
        lines.append("Some rows are in use. Repeat this command.")
    return lines


def _needs(key: Key) -> str:
    """Return the lines that say what needs a key."""
    lines = [
        f"{rows:,} rows of {name} are sealed with it" for name, rows in key.sealed_rows.items()
    ]
    if key.fingerprints:
        lines.append(
            f"{key.fingerprints:,} idempotency keys have a fingerprint of it: the newest of "
            f"{key.last_used_at}, the last one until {key.fingerprints_until}"
        )
    if key.open_fingerprints:
        lines.append(
            f"{key.open_fingerprints:,} of them stay longer if their payment has no outcome by then"
        )
    return "".join(f"\n  {line}" for line in lines)


def _values(found: Pass, resealed: int, using: list[str]) -> dict[str, Any]:
    return {
        "key_id": found.key_id,
        "resealed": resealed,
        "unreadable": found.unreadable,
        "keys": [
            {
                "key_id": key_id,
                "is_newest": key_id == found.key_id,
                "is_needed": key.is_needed,
                "is_used_by_a_core": key_id in using or key_id == found.key_id,
                "sealed_rows": dict(sorted(key.sealed_rows.items())),
                "fingerprints": key.fingerprints,
                "fingerprints_until": key.fingerprints_until,
                "last_used_at": key.last_used_at,
            }
            for key_id, key in sorted(found.keys.items())
        ],
    }


def _later(one: str | None, other: str | None) -> str | None:
    return max(filter(None, (one, other)), default=None)
