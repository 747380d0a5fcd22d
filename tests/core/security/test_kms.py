"""Keys of the keyring that Vault's transit engine wraps, against a stand-in that encrypts."""

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cli.main import main
from core.security.keyring import Keyring
from core.security.kms import kms_of
from core.server.settings import CoreSettings

TOKEN = "hvs.obviouslyfaketoken"
DATABASE = {"NIVISCO_DATABASE_URL": "sqlite:////x"}


@dataclass
class Vault:
    """The two requests of the engine that we send, with a key that stays here."""

    url: str = ""
    status: int = 200
    answer: Any = None
    """What is answered in place of the right answer."""
    requests: list[str] = field(default_factory=list)
    key: AESGCM = field(default_factory=lambda: AESGCM(secrets.token_bytes(32)))

    async def handle(self, request: web.Request) -> web.Response:
        """Encrypt or decrypt with the key `nivisco`."""
        self.requests.append(request.path)
        if self.status in (301, 307):
            return web.Response(status=self.status, headers={"Location": f"{self.url}/v1/else"})
        if self.status != 200:
            return web.json_response({"errors": ["no"]}, status=self.status)
        if request.headers.get("X-Vault-Token") != TOKEN:
            return web.json_response({"errors": ["permission denied"]}, status=403)
        if self.answer is not None:
            return web.json_response(self.answer)
        body = await request.json()
        if request.path == "/v1/transit/encrypt/nivisco":
            nonce = os.urandom(12)
            raw = nonce + self.key.encrypt(nonce, base64.b64decode(body["plaintext"]), None)
            data = {"ciphertext": f"vault:v1:{base64.b64encode(raw).decode()}", "key_version": 1}
        elif request.path == "/v1/transit/decrypt/nivisco":
            raw = base64.b64decode(body["ciphertext"].removeprefix("vault:v1:"))
            plain = self.key.decrypt(raw[:12], raw[12:], None)
            data = {"plaintext": base64.b64encode(plain).decode()}
        else:
            return web.json_response({"errors": []}, status=404)
        return web.json_response({"data": data})

    @property
    def settings(self) -> dict[str, str]:
        """The settings to use it."""
        return {
            "NIVISCO_KMS": "vault",
            "NIVISCO_VAULT_URL": self.url,
            "NIVISCO_VAULT_TOKEN": TOKEN,
            "NIVISCO_VAULT_KEY": "nivisco",
        }


@pytest.fixture
async def vault() -> AsyncIterator[Vault]:
    """A running stand-in."""
    made = Vault()
    app = web.Application()
    app.router.add_post("/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def new_key(vault: Vault, *options: str, given: str | None = None, **more: str) -> Result:
    environment = vault.settings | more
    arguments = ["secrets", "new-key", *options]
    return await asyncio.to_thread(
        CliRunner().invoke, main, arguments, env=environment, input=given
    )


async def settings(**environ: str) -> CoreSettings:
    return await asyncio.to_thread(CoreSettings.from_environment, DATABASE | environ)


async def test_a_core_unwraps_the_keys_that_the_command_made(vault: Vault) -> None:
    old = "k1:" + "A" * 43 + "="
    entries = [
        (await new_key(vault)).stdout.strip(),
        (await new_key(vault, "--wrap", given=old + "\n")).stdout.strip(),
    ]
    assert all(":vault:v1:" in entry for entry in entries)
    made = (await settings(**vault.settings, NIVISCO_SECRET_KEYS=",".join(entries))).keyring
    assert made.primary_id == entries[0].partition(":")[0]
    assert made.keys["k1"] == bytes(32)
    sealed = Keyring.parse(old).seal("sk_test_fake", business_id="B", purpose="p")
    assert made.open(sealed, business_id="B", purpose="p") == "sk_test_fake"


async def test_without_a_service_a_new_key_is_not_wrapped(vault: Vault) -> None:
    made = await new_key(vault, NIVISCO_KMS="")
    assert len(Keyring.parse(made.stdout.strip()).keys) == 1
    assert vault.requests == []


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "wrapped with another key of Vault"),
        (403, "NIVISCO_VAULT_TOKEN is refused"),
        (404, "there is no such path"),
        (503, "Vault is sealed"),
        (500, "answered 500"),
        (307, "answered 307"),
        (301, "answered 301"),
    ],
)
async def test_a_refusal_is_one_sentence_without_secrets(
    vault: Vault, status: int, message: str
) -> None:
    vault.status = status
    with pytest.raises(ValueError, match=message) as refused:
        await settings(**vault.settings, NIVISCO_SECRET_KEYS="k1:vault:v1:AAAA")
    assert str(refused.value).startswith("NIVISCO_SECRET_KEYS: Vault at http://127.0.0.1")
    assert TOKEN not in str(refused.value)
    assert len(vault.requests) == 1, "no redirect is followed"
    command = await new_key(vault)
    assert (command.exit_code, command.stdout) == (1, "")
    assert message in command.stderr


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"data": None},
        {"data": {}},
        {"data": {"plaintext": 1}},
        {"data": {"plaintext": "%"}},
    ],
)
async def test_an_answer_without_a_key_is_refused(vault: Vault, answer: Any) -> None:
    vault.answer = answer
    with pytest.raises(ValueError, match="something else than a key"):
        await settings(**vault.settings, NIVISCO_SECRET_KEYS="k1:vault:v1:AAAA")


async def test_a_key_of_another_size_is_refused(vault: Vault) -> None:
    vault.answer = {"data": {"plaintext": "QUJD"}}
    with pytest.raises(ValueError, match="has 3 bytes, not 32"):
        await settings(**vault.settings, NIVISCO_SECRET_KEYS="k1:vault:v1:AAAA")


async def test_a_service_that_is_away_is_one_sentence(vault: Vault) -> None:
    away = vault.settings | {"NIVISCO_VAULT_URL": "http://127.0.0.1:9"}
    with pytest.raises(ValueError, match=r"Vault at .* does not answer: .*refused"):
        await settings(**away, NIVISCO_SECRET_KEYS="k1:vault:v1:AAAA")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"NIVISCO_KMS": "nothing"}, "NIVISCO_KMS is neither vault nor"),
        ({"NIVISCO_KMS": "os:nothing"}, "NIVISCO_KMS is neither vault nor"),
        ({"NIVISCO_KMS": ":"}, "NIVISCO_KMS is neither vault nor"),
        ({"NIVISCO_VAULT_URL": ""}, "NIVISCO_VAULT_URL is not set"),
        ({"NIVISCO_VAULT_URL": "ftp://vault"}, "not an http"),
        ({"NIVISCO_VAULT_URL": "http://vault:8200"}, "must be https"),
        (
            {"NIVISCO_VAULT_URL": "https://u:canary@vault:8200"},
            "_URL must have no user or password$",
        ),
        ({"NIVISCO_VAULT_TOKEN": ""}, "NIVISCO_VAULT_TOKEN is not set"),
        ({"NIVISCO_VAULT_TOKEN": "a\nb"}, "NIVISCO_VAULT_TOKEN has characters"),
        ({"NIVISCO_VAULT_KEY": ""}, "NIVISCO_VAULT_KEY is not set"),
        ({"NIVISCO_VAULT_CA_FILE": "/nowhere"}, "NIVISCO_VAULT_CA_FILE cannot be used"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(change: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kms_of(Vault("http://127.0.0.1:9").settings | change)


class Reversing:
    """A plug-in of somebody else."""

    def wrap(self, key: bytes) -> str:
        """Reverse a key."""
        return key[::-1].hex()

    def unwrap(self, wrapped: str) -> bytes:
        """Reverse it again."""
        return bytes.fromhex(wrapped)[::-1]


def reversing(_: dict[str, str]) -> Reversing:
    return Reversing()


async def test_a_plug_in_is_found_by_its_name() -> None:
    key = bytes(range(32))
    named = {"NIVISCO_KMS": f"{__name__}:reversing"}
    entry = f"k1:{Reversing().wrap(key)}"
    assert (await settings(**named, NIVISCO_SECRET_KEYS=entry)).keyring.keys == {"k1": key}


def test_no_repr_shows_the_token() -> None:
    assert TOKEN not in repr(kms_of(Vault("http://127.0.0.1:9").settings))
