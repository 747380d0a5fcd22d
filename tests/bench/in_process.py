"""Part `functions`: the time of what every request runs, without processes or network."""

import timeit
from collections.abc import Callable, Mapping
from typing import Any

import protovalidate
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from core.security.secrets import api_key_matches, hash_api_key
from core.server.validation import problems
from nivisco.payments.v1 import wallet_pb2
from rpc.metadata import Credentials
from tests.bench.figures import Figure, Result
from tests.bench.reflection import calls_into_the_schema
from tests.bench.run import Run
from tests.bench.samples import Spread, ratio
from transcoding.actions import Action, build_catalogue
from transcoding.envelope import read_envelope
from transcoding.field_problems import FieldProblems

ACTIONS = ("get_user_wallet", "charge_wallet")
_USER_ID = "USR-01HZZZZZZZZZZZZZZZZZZZZZZZ"
_WALLET_ID = "WAL-01HZZZZZZZZZZZZZZZZZZZZZZZ"
_API_KEY = "5e" * 32
_CREDENTIALS = Credentials("3f0e5d1c-6f2a-4c7b-9d8e-0a1b2c3d4e5f", _API_KEY)
_AMOUNT = Money(units=34, nanos=500_000_000)
_LEFT = Money(currency_code="USD", units=115, nanos=500_000_000)

_BODY = (
    f'{{"business_id": "{_CREDENTIALS.business_id}", "api_key": "{_API_KEY}", '
    f'"action": "%s", "user_id": "{_USER_ID}"%s}}'
)
BODIES: Mapping[str, bytes] = {
    "get_user_wallet": (_BODY % ("get_user_wallet", "")).encode(),
    "charge_wallet": (_BODY % ("charge_wallet", ', "amount": 34.50')).encode(),
}
_REQUESTS: Mapping[str, Message] = {
    "get_user_wallet": wallet_pb2.GetUserWalletRequest(user_id=_USER_ID),
    "charge_wallet": wallet_pb2.ChargeWalletRequest(user_id=_USER_ID, amount=_AMOUNT),
}
ANSWERS: Mapping[str, Message] = {
    "get_user_wallet": wallet_pb2.GetUserWalletResponse(
        wallet=wallet_pb2.Wallet(
            wallet_id=_WALLET_ID,
            user_id=_USER_ID,
            balance=_LEFT,
            updated_at=Timestamp(seconds=1_708_438_800),
        )
    ),
    "charge_wallet": wallet_pb2.ChargeWalletResponse(
        wallet_id=_WALLET_ID,
        new_balance=_LEFT,
        type=wallet_pb2.TRANSACTION_TYPE_DEBIT,
        source=wallet_pb2.TRANSACTION_SOURCE_SYSTEM,
        reason=wallet_pb2.TRANSACTION_REASON_BUSINESS_CHARGE,
        message="Wallet updated successfully",
        transaction_id="WTX-01HZZZZZZZZZZZZZZZZZZZZZZZ",
    ),
}


async def measure(run: Run) -> Result:
    """Time every function in turns; no money moves."""
    catalogue = build_catalogue()
    functions: dict[str, Callable[[], object]] = {}
    for name in ACTIONS:
        functions |= _functions_of(catalogue[name])
    stored_hash = hash_api_key(_API_KEY)
    functions["API key check"] = lambda: api_key_matches(_API_KEY, stored_hash)
    seconds = run.size.turn_seconds / len(functions)
    counts = {name: _count_for(function, seconds) for name, function in functions.items()}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(run.size.rounds):
        for name, function in functions.items():
            taken = timeit.timeit(function, number=counts[name])
            times[name].append(taken / counts[name] * 1e6)
    figures = [Figure(name, Spread.of(times[name]), "µs") for name in times]
    for name in ACTIONS:
        transcode = zip(times[_read(name)], times[_write(name)], strict=True)
        figures += [
            Figure(
                f"{name}: transcode / json_format",
                ratio([read + write for read, write in transcode], times[_json_format(name)]),
                "x",
            ),
            Figure(
                f"{name}: rules / protovalidate",
                ratio(times[_rules(name)], times[_protovalidate(name)]),
                "x",
            ),
        ]
    return Result(figures)


def schema_calls() -> list[str]:
    """Return the descriptor calls while a request and its response are transcoded: none."""
    catalogue = build_catalogue()
    return [call for name in ACTIONS for call in calls_into_the_schema(_transcode(catalogue[name]))]


def _functions_of(action: Action) -> dict[str, Callable[[], object]]:
    name = action.name
    body, request, answer = BODIES[name], _REQUESTS[name], ANSWERS[name]
    fields = read_envelope(body).fields
    request_text = json_format.MessageToJson(request, preserving_proto_field_name=True)
    # The package has no type stubs for what it exports.
    oracle: Any = protovalidate.Validator()  # type: ignore[no-untyped-call]
    oracle.collect_violations(request)
    return {
        f"{name}: parse envelope": lambda: read_envelope(body),
        _read(name): lambda: action.read(fields, "", FieldProblems()),
        _write(name): lambda: action.write(answer),
        _json_format(name): lambda: (
            json_format.Parse(request_text, type(request)()),
            json_format.MessageToJson(answer, preserving_proto_field_name=True, indent=None),
        ),
        _rules(name): lambda: problems(request),
        _protovalidate(name): lambda: oracle.collect_violations(request),
    }


def _transcode(action: Action) -> Callable[[], object]:
    def transcode() -> object:
        envelope = read_envelope(BODIES[action.name])
        return action.read(envelope.fields, "", FieldProblems()), action.write(ANSWERS[action.name])

    return transcode


def _count_for(function: Callable[[], object], seconds: float) -> int:
    """Return how many calls of the warm function take about this time."""
    count = 1
    while (taken := timeit.timeit(function, number=count)) < seconds / 10:
        count *= 2
    return max(1, int(count * seconds / taken))


def _read(name: str) -> str:
    return f"{name}: read request"


def _write(name: str) -> str:
    return f"{name}: write response"


def _json_format(name: str) -> str:
    return f"{name}: json_format, both ways"


def _rules(name: str) -> str:
    return f"{name}: check rules"


def _protovalidate(name: str) -> str:
    return f"{name}: protovalidate"
