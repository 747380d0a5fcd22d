"""Executes the examples of the reference as one story; run, it writes what was answered into them.

To change an example, edit its `request` in adapter/examples/ and run
`python -m tests.end_to_end.examples`. Ids and times stay as they are shown, whatever they were.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from nivisco.internal.v1.test_clock_pb2 import AdvanceTestClockRequest
from rpc.metadata import Credentials
from tests.core.running import OPERATOR_TOKEN, call
from tests.end_to_end.running import JsonClient, Stack, running_stack
from transcoding import exact_json

FOLDER = Path(__file__).parents[2] / "adapter" / "examples"
COMMAND = "python -m tests.end_to_end.examples"

STORY = (
    "register_business", "validate_business", "get_business_info", "modify_business",
    "add_stripe_credentials", "modify_stripe_credentials", "add_authorize_credentials",
    "modify_authorize_credentials", "create_user", "validate_user", "get_user_info",
    "get_all_users", "update_user", "get_stripe_public_key", "create_stripe_customer",
    "get_user_cards", "get_user_primary_card", "create_authorize_customer", "charge_customer",
    "fund_customer", "get_payment_records", "get_user_wallet", "charge_wallet", "add_wallet_funds",
    "get_wallet_history", "create_recurring", "update_recurring", "list_recurring",
    "get_recurring_logs", "pause_recurring", "resume_recurring", "cancel_recurring",
    "errors/INVALID_FIELDS", "errors/USER_NOT_FOUND", "errors/CARD_DECLINED",
    "errors/WALLET_TOO_LOW", "errors/IDEMPOTENCY_KEY_REUSED", "change_api_key",
)  # fmt: skip
"""Every action and some refusals, in an order in which each finds what it needs."""

_SAMPLES = {
    "id": re.compile(r"(USR|WAL|WTX|CRD|PAY|REC|LOG)-[0-9A-Z]+"),
    "gateway's id": re.compile(r"(cus|pm|pi|ch|card)_[A-Za-z0-9]+"),
    "gateway's number": re.compile(r"[0-9]{6,12}"),
    "UUID": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "API key": re.compile(r"[0-9a-f]{64}"),
}
"""Values that are new in every run. The same sample stands for the same value everywhere."""
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
_OF_THE_YEAR = (".exp_month", ".exp_year")
"""The stand-in's cards always expire a year from now."""


@dataclass
class Samples:
    """Which value of this run each value of the files stands for."""

    real: dict[str, str] = field(default_factory=dict)

    def to_send(self, shown: Any) -> Any:
        """Return the request with the values of this run."""
        if isinstance(shown, dict):
            return {name: self.to_send(value) for name, value in shown.items()}
        if isinstance(shown, list):
            return [self.to_send(value) for value in shown]
        return self.real.get(shown, shown) if isinstance(shown, str) else shown

    def differences(self, shown: Any, answered: Any, path: str = "") -> list[str]:
        """Return where the answer is not the one shown; learns what new samples stand for."""
        if isinstance(shown, dict) and isinstance(answered, dict):
            found = [] if [*shown] == [*answered] else [f"{path} has the keys {[*answered]}"]
            return found + [
                each
                for name in shown.keys() & answered.keys()
                for each in self.differences(shown[name], answered[name], f"{path}.{name}")
            ]
        if isinstance(shown, list) and isinstance(answered, list) and len(shown) == len(answered):
            return [
                each
                for index, (one, other) in enumerate(zip(shown, answered, strict=True))
                for each in self.differences(one, other, f"{path}[{index}]")
            ]
        if shown == answered and type(shown) is type(answered) and shown not in self.real:
            return []
        if _is_sample_of(shown, answered) and self.real.setdefault(shown, answered) == answered:
            return []
        if all(isinstance(each, str) and _TIME.fullmatch(each) for each in (shown, answered)):
            return []
        if path.endswith(_OF_THE_YEAR) and type(shown) is type(answered):
            return []
        return [f"{path} is {exact_json.write(answered)}, not {exact_json.write(shown)}"]

    def to_show(self, answered: Any, shown: Any) -> Any:
        """Return the answer with the samples of the files, and with those of `shown` where new."""
        if isinstance(answered, dict):
            old = shown if isinstance(shown, dict) else {}
            return {name: self.to_show(value, old.get(name)) for name, value in answered.items()}
        if isinstance(answered, list):
            olds = shown if isinstance(shown, list) else []
            olds = olds + [None] * len(answered)
            return [self.to_show(value, old) for value, old in zip(answered, olds, strict=False)]
        known = {real: sample for sample, real in self.real.items()}
        if isinstance(answered, str) and answered in known:
            return known[answered]
        if _is_sample_of(shown, answered) and shown not in self.real:
            return shown
        is_time = isinstance(shown, str) and _TIME.fullmatch(shown)
        return shown if is_time else answered


def _is_sample_of(shown: Any, answered: Any) -> bool:
    both = (shown, answered)
    return any(
        all(type(each) is str and pattern.fullmatch(each) for each in both)
        for pattern in _SAMPLES.values()
    )


@dataclass(frozen=True)
class RecordedEvent:
    """One example, what it shows and what came back."""

    name: str
    """Its file's, without the ending."""
    is_as_told: bool
    """Whether it succeeded, or was refused for the reason that it is an example of."""
    shown: Any
    answered: Any


async def _let_a_job_run(stack: Stack, client: JsonClient) -> None:
    """Have time pass for the merchant's TEST jobs until one ran, so that there is a log to show."""
    (job,) = (await client.call("list_recurring")).body["recurring"]
    to = Timestamp()
    to.FromDatetime(datetime.fromisoformat(job["next_run"]) + timedelta(days=1))
    request = AdvanceTestClockRequest(business_id=client.business_id, advance_to=to)
    while not (await call(stack.core, Credentials(service_token=OPERATOR_TOKEN), request)).done:
        pass


async def tell(stack: Stack, samples: Samples) -> AsyncIterator[RecordedEvent]:
    """Send the story's requests, one after the other; the caller compares before the next."""
    merchant: JsonClient | None = None
    for name in STORY:
        client = merchant or stack.admin
        if name == "get_recurring_logs":
            await _let_a_job_run(stack, client)
        example = read(name)
        request = samples.to_send(example["request"])
        answer = await client.send(envelope(client, example["action"], request))
        reason = name.removeprefix("errors/")
        is_as_told = answer.status == 200 if reason == name else answer.body["code"] == reason
        told = RecordedEvent(name, is_as_told, example["response"], exact_json.read(answer.text))
        yield told
        if name == "register_business":
            merchant = client.as_business(told.answered["business_id"], told.answered["api_key"])


def read(name: str) -> dict[str, Any]:
    """Return what a file holds, and None as the response to what was never answered."""
    content: dict[str, Any] = exact_json.read((FOLDER / f"{name}.json").read_text())
    return {"action": name, "response": None} | content


def envelope(client: JsonClient, action: str, fields: dict[str, Any]) -> str:
    """Return the whole request, numbers as the file has them."""
    credentials = {"business_id": client.business_id, "api_key": client.api_key, "action": action}
    return exact_json.write(credentials | fields)


async def _write_anew() -> None:
    samples = Samples()
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/nivisco.db"
        async with running_stack(Path(folder), database) as stack:
            async for told in tell(stack, samples):
                if not told.is_as_told:
                    raise SystemExit(f"{told.name}: {told.answered}")
                shown = samples.to_show(told.answered, told.shown)
                assert samples.differences(shown, told.answered) == []
                file = FOLDER / f"{told.name}.json"
                content = exact_json.read(file.read_text()) | {"response": shown}
                file.write_text(exact_json.write(content, indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(_write_anew())
