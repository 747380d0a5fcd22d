"""A core with a sandbox and a business, for client programs."""

import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rpc.certificates import MutualTlsFiles, mutual_tls_files
from rpc.tls import ClientTls
from tests.certificates import Authority, Issued
from tests.core.running import register, running_core, running_sandbox, settings_for, with_stripe

_FILES = (
    "NIVISCO_GRPC_TLS_CERTIFICATE_FILE",
    "NIVISCO_GRPC_TLS_KEY_FILE",
    "NIVISCO_GRPC_TLS_CLIENT_CA_FILE",
)


@dataclass(frozen=True, slots=True)
class Shop:
    """Address of the core, and the variables for a client program."""

    address: str
    variables: Mapping[str, str]
    """Environment variables of a client program."""


def _server_files(authority: Authority, server: Issued) -> MutualTlsFiles:
    paths = (str(server.certificate_file), str(server.key_file), str(authority.file))
    files = mutual_tls_files(dict(zip(_FILES, paths, strict=True)), *_FILES)
    assert files is not None
    return files


@asynccontextmanager
async def open_shop(path: Path, *, tls: bool = False) -> AsyncIterator[Shop]:
    """Serve a core, with mutual TLS or in plain text on loopback, with a business."""
    client_tls, files = None, None
    proof: dict[str, str] = {}
    if tls:
        authority = Authority(path)
        own = authority.issue("merchant", ())
        files = _server_files(authority, authority.issue("core"))
        client_tls = ClientTls(authority.file.read_bytes(), own.pem, own.key_pem)
        proof = {
            "NIVISCO_CA": str(authority.file),
            "NIVISCO_CERTIFICATE": str(own.certificate_file),
            "NIVISCO_KEY": str(own.key_file),
        }
    async with running_sandbox(path) as gateway:
        urls = {"TEST": gateway, "LIVE": gateway}
        settings = settings_for(path, stripe_urls=urls, authorize_urls=urls, tls=files)
        async with running_core(settings, tls=client_tls) as client:
            business = await with_stripe(await register(client))
            yield Shop(
                client.target,
                {
                    "NIVISCO_CORE": client.target,
                    "NIVISCO_BUSINESS_ID": business.credentials.business_id,
                    "NIVISCO_API_KEY": business.credentials.api_key,
                    "NIVISCO_GATEWAY": gateway,
                }
                | proof,
            )


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return this environment with `variables` instead of the NIVISCO_* ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NIVISCO_")}
    return kept | dict(variables)


def run(*command: str, cwd: Path | None = None, **variables: str) -> str:
    """Return the output of a command, which must succeed."""
    ended = subprocess.run(
        command,
        cwd=cwd,
        env=environment(variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
