"""Executes the examples of the reference in order; run as a module, it renews their responses.

To change an example, edit its `request` in portal/examples/ and run
`python -m tests.end_to_end.examples`. Ids and times stay as they are in the files.
"""

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from nivisco.internal.v1.test_clock_pb2 import AdvanceTestClockRequest
from rpc.metadata import Credentials
from tests.core.running import OPERATOR_TOKEN, call
from tests.end_to_end.running import JsonClient, Stack, running_stack
from tests.end_to_end.signing import stripe_event, stripe_signature
from transcoding import exact_json

FOLDER = Path(__file__).parents[2] / "portal" / "examples"
COMMAND = "python -m tests.end_to_end.examples"

SEQUENCE = (
    "register_business", "validate_business", "get_business_info", "modify_business",
    "add_stripe_credentials", "modify_stripe_credentials", "add_authorize_credentials",
    "modify_authorize_credentials", "create_user", "validate_user", "get_user_info",
    "get_all_users", "update_user", "get_stripe_public_key", "create_stripe_customer",
    "get_user_cards", "get_user_primary_card", "create_authorize_customer", "charge_customer",
    "fund_customer", "get_payment_records", "refund_payment", "list_refunds", "get_user_wallet",
    "charge_wallet", "add_wallet_funds",
    "get_wallet_history", "transfer_wallet", "hold_wallet", "list_holds", "capture_hold",
    "release_hold", "create_recurring", "update_recurring", "list_recurring",
    "get_recurring_logs", "retry_recurring", "get_recurring", "skip_next",
    "pause_recurring", "resume_recurring", "cancel_recurring",
    "get_payment", "list_receivables", "settle_receivable",
    "capture_payment",
    "void_payment",
    "errors/INVALID_FIELDS", "errors/USER_NOT_FOUND", "errors/CARD_DECLINED",
    "errors/WALLET_TOO_LOW", "errors/IDEMPOTENCY_KEY_REUSED",
    "set_primary_card",
    "update_card",
    "import_customer",
    "remove_card",
    "suspend_user",
    "reactivate_user",
    "create_api_key",
    "list_api_keys",
    "revoke_api_key",
    "list_gateway_events",
    "get_volumes",
    "list_audit_events",
    "change_api_key",
)  # fmt: skip
"""Every action and some errors, in an order in which each finds what it needs."""
OTHER_USER = "USR-01JZ3T9B4F2G3H4J5K6M7N8P9Q"
"""Stands for a second user, whom no example creates."""
OTHER_HOLD = "HLD-01JZ3TBZC1D2E3F4G5H6J7K8M9"
"""Stands for a second hold, which no example creates."""
AUTHORIZED = {
    "capture_payment": "PAY-2NFCVC40G4H3J2K1",
    "void_payment": "PAY-2NFCVD50H4J3K2M1",
}
"""By action, stands for an authorized payment, which no example creates."""

_SAMPLES = {
    "id": re.compile(r"(USR|WAL|WTX|TRF|HLD|CRD|PAY|REC|LOG|REF|KEY|AUD)-[0-9A-Z]+"),
    "gateway's id": re.compile(r"(cus|pm|pi|ch|card|re)_[A-Za-z0-9]+"),
    "gateway's number": re.compile(r"[0-9]{6,12}"),
    "UUID": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "API key": re.compile(r"[0-9a-f]{64}"),
    "last digits of an API key": re.compile(r"[0-9a-f]{4}"),
    "id of a request": re.compile(r"[0-9A-Z]{26}"),
}
"""Values that differ in every run. A sample stands for the same value in all files."""
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2})?")
_OF_THE_YEAR = (".exp_month", ".exp_year")
"""The sandbox's cards always expire a year from now."""
_OF_THE_RUN = (".last_used_at", ".sequence", "_volumes")
"""Of API keys, null until a core stores it, which it does each minute; of audit events; and of a
day: a run at midnight has two. Values of the same length are compared all the same."""


@dataclass
class Samples:
    """The value of this run that each sample in the files stands for."""

    real: dict[str, str] = field(default_factory=dict)

    def to_send(self, shown: Any) -> Any:
        """Return a request with the values of this run."""
        if isinstance(shown, dict):
            return {name: self.to_send(value) for name, value in shown.items()}
        if isinstance(shown, list):
            return [self.to_send(value) for value in shown]
        return self.real.get(shown, shown) if isinstance(shown, str) else shown

    def differences(self, shown: Any, actual: Any, path: str = "") -> list[str]:
        """Return where a response differs from the example; learns what new samples stand for."""
        if isinstance(shown, dict) and isinstance(actual, dict):
            found = [] if [*shown] == [*actual] else [f"{path} has the keys {[*actual]}"]
            return found + [
                each
                for name in shown.keys() & actual.keys()
                for each in self.differences(shown[name], actual[name], f"{path}.{name}")
            ]
        if isinstance(shown, list) and isinstance(actual, list) and len(shown) == len(actual):
            return [
                each
                for index, (one, other) in enumerate(zip(shown, actual, strict=True))
                for each in self.differences(one, other, f"{path}[{index}]")
            ]
        if _is_sample_of(shown, actual) and self._stands_for(shown, actual):
            return []
        if shown == actual and type(shown) is type(actual) and shown not in self.real:
            return []
        if all(isinstance(each, str) and _TIME.fullmatch(each) for each in (shown, actual)):
            return []
        if path.endswith(_OF_THE_YEAR) and type(shown) is type(actual):
            return []
        if path.endswith(_OF_THE_RUN):
            return []
        return [f"{path} is {exact_json.write(actual)}, not {exact_json.write(shown)}"]

    def _stands_for(self, sample: str, actual: str) -> bool:
        """Return whether a sample is the only one of a value; learns it if both are new."""
        if sample not in self.real and actual not in self.real.values():
            self.real[sample] = actual
        return self.real.get(sample) == actual

    def to_show(self, actual: Any, shown: Any) -> Any:
        """Return a response with the samples of the files; new values take those of `shown`."""
        if isinstance(actual, dict):
            old = shown if isinstance(shown, dict) else {}
            return {name: self.to_show(value, old.get(name)) for name, value in actual.items()}
        if isinstance(actual, list):
            olds = shown if isinstance(shown, list) else []
            olds = olds + [None] * len(actual)
            return [self.to_show(value, old) for value, old in zip(actual, olds, strict=False)]
        known = {real: sample for sample, real in self.real.items()}
        if isinstance(actual, str) and actual in known:
            return known[actual]
        if _is_sample_of(shown, actual) and shown not in self.real:
            return shown
        is_time = isinstance(shown, str) and _TIME.fullmatch(shown)
        return shown if is_time else actual


def _is_sample_of(shown: Any, actual: Any) -> bool:
    both = (shown, actual)
    return any(
        all(type(each) is str and pattern.fullmatch(each) for each in both)
        for pattern in _SAMPLES.values()
    )


@dataclass(frozen=True)
class ExampleResult:
    """An executed example, with the response in its file and the actual one."""

    name: str
    """Name of its file, without the ending."""
    is_expected: bool
    """Whether it succeeded, or failed with the reason that it is an example of."""
    shown: Any
    actual: Any


async def run_a_job(stack: Stack, client: JsonClient, hours: int = 24) -> None:
    """Advance the merchant's test clock until its job has run, so that there is a log entry."""
    (job,) = (await client.call("list_recurring")).body["recurring"]
    to = Timestamp()
    to.FromDatetime(datetime.fromisoformat(job["next_run"]) + timedelta(hours=hours))
    request = AdvanceTestClockRequest(business_id=client.business_id, advance_to=to)
    while not (await call(stack.core, Credentials(service_token=OPERATOR_TOKEN), request)).done:
        pass


async def fail_a_job(stack: Stack, client: JsonClient) -> None:
    """Advance the merchant's test clock until a cycle of its job has failed."""
    (job,) = (await client.call("list_recurring")).body["recurring"]
    user_id = job["user_id"]
    await client.call("update_user", user_id=user_id, updates={"active": False})
    await run_a_job(stack, client, hours=1)
    await client.call("update_user", user_id=user_id, updates={"active": True})


async def owe_something(client: JsonClient) -> None:
    """Have the funding refunded that was spent but for 15.50, and add 20 to the empty wallet."""
    payments = (await client.call("get_payment_records")).body["payments"]
    (funding,) = [each for each in payments if each["kind"] == "fund"]
    wallet = {"user_id": funding["user_id"]}
    balance = (await client.call("get_user_wallet", **wallet)).body["wallet"]["balance"]
    spent = await client.call("charge_wallet", **wallet, amount=str(balance - Decimal("15.5")))
    assert spent.status == 200, spent.text
    refund = {"id": "re_1", "amount": 5000, "currency": "usd", "status": "succeeded"}
    body = stripe_event(
        "evt_1",
        "refund.created",
        int(time.time()),
        payment_intent=funding["transaction_id"],
        **refund,
    ).body
    secret = read("modify_stripe_credentials")["request"]["credentials"]["stripe_webhook_secret"]
    signature = stripe_signature(body, time.time(), secret)
    async with client.session.post(
        f"{client.url}/webhooks/stripe/{client.business_id}",
        data=body,
        headers={"Stripe-Signature": signature},
    ) as response:
        assert response.status == 200, await response.text()
    await client.call("add_wallet_funds", **wallet, amount=20)


async def create_another_user(client: JsonClient) -> str:
    """Return the id of a new user, to whom the first one transfers money."""
    user = {"name": "Bruno Lima", "email": "bruno@example.com"}
    created = await client.call("create_user", user=user)
    return str(created.body["user"]["user_id"])


async def create_another_hold(client: JsonClient, user_id: str) -> str:
    """Return the id of a new hold on the first user's wallet, which is released."""
    held = await client.call("hold_wallet", user_id=user_id, amount=20, expires_in_seconds=3600)
    return str(held.body["hold_id"])


async def create_authorization(client: JsonClient, user_id: str) -> str:
    """Return the id of a payment of the first user that is authorized and not captured."""
    charged = await client.call("charge_customer", user_id=user_id, amount=25, capture=False)
    return str(charged.body["payment_id"])


async def until_audited(client: JsonClient, action: str) -> None:
    """Wait until the sequencer has put the changes of an action into the audit trail."""
    async with asyncio.timeout(60):
        while not (await client.call("list_audit_events", by_action=action)).body["events"]:
            await asyncio.sleep(0.1)


async def run_examples(stack: Stack, samples: Samples) -> AsyncIterator[ExampleResult]:
    """Send the examples one after another; the caller compares each before the next."""
    merchant: JsonClient | None = None
    for name in SEQUENCE:
        client = merchant or stack.admin
        if name == "get_recurring_logs":
            await run_a_job(stack, client)
        if name == "retry_recurring":
            await fail_a_job(stack, client)
        if name == "list_receivables":
            await owe_something(client)
        if name == "transfer_wallet":
            samples.real[OTHER_USER] = await create_another_user(client)
        if name in AUTHORIZED:
            user_id = samples.real[read("charge_customer")["request"]["user_id"]]
            samples.real[AUTHORIZED[name]] = await create_authorization(client, user_id)
        if name == "list_audit_events":
            await until_audited(client, "suspend_user")
        if name == "release_hold":
            user_id = samples.real[read("hold_wallet")["request"]["user_id"]]
            samples.real[OTHER_HOLD] = await create_another_hold(client, user_id)
        example = read(name)
        request = samples.to_send(example["request"])
        response = await client.send(envelope(client, example["action"], request))
        actual = exact_json.read(response.text)
        reason = name.removeprefix("errors/")
        is_expected = response.status == 200 if reason == name else actual.get("code") == reason
        yield ExampleResult(name, is_expected, example["response"], actual)
        if name == "register_business":
            merchant = client.as_business(actual["business_id"], actual["api_key"])


def read(name: str) -> dict[str, Any]:
    """Return the content of a file; `response` is None if it was never executed."""
    content: dict[str, Any] = exact_json.read((FOLDER / f"{name}.json").read_text())
    return {"action": name, "response": None} | content


def envelope(client: JsonClient, action: str, fields: dict[str, Any]) -> str:
    """Return the whole request, with numbers as in the file."""
    credentials = {"business_id": client.business_id, "api_key": client.api_key, "action": action}
    return exact_json.write(credentials | fields)


async def _renew() -> None:
    samples = Samples()
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/nivisco.db"
        async with running_stack(Path(folder), database) as stack:
            async for result in run_examples(stack, samples):
                if not result.is_expected:
                    raise SystemExit(f"{result.name}: {result.actual}")
                samples.differences(result.shown, result.actual)  # learns the new samples
                shown = samples.to_show(result.actual, result.shown)
                assert samples.differences(shown, result.actual) == []
                file = FOLDER / f"{result.name}.json"
                content = exact_json.read(file.read_text()) | {"response": shown}
                file.write_text(exact_json.write(content, indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(_renew())
