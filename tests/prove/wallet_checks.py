"""Whether transfers, holds and settlements are what their clients were answered, each once."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tests.prove.operations import Operation

Row = dict[str, Any]
CHECKED_REASONS: Final = ("transfer", "hold_capture", "receivable")
"""Reasons of wallet transactions that are checked here."""


def holds(rows: Mapping[str, list[Row]]) -> Iterator[str]:
    """A wallet holds the sum of its open holds, and a captured hold is one debit."""
    held: Counter[tuple[str, str]] = Counter()
    captured: dict[tuple[str, str], Row] = {}
    for row in rows["wallet_holds"]:
        if row["status"] == "open":
            held[(row["business_id"], row["wallet_id"])] += row["amount_minor"]
        if row["status"] == "captured":
            captured[(row["business_id"], row["transaction_id"])] = row
    for wallet in rows["wallets"]:
        expected = held.pop((wallet["business_id"], wallet["wallet_id"]), 0)
        if wallet["held_minor"] != expected:
            yield f"{wallet['wallet_id']} holds {wallet['held_minor']}, and {expected} is held"
        if not wallet["balance_minor"] >= wallet["held_minor"] >= 0:
            yield f"the holds of {wallet['wallet_id']} are not covered by its balance"
    for movement in rows["wallet_transactions"]:
        if movement["reason"] != "hold_capture":
            continue
        hold = captured.pop((movement["business_id"], movement["transaction_id"]), None)
        made = (movement["wallet_id"], movement["type"], movement["amount_minor"])
        if hold is None or made != (hold["wallet_id"], "debit", hold["captured_minor"]):
            yield f"{movement['transaction_id']} captured {made}, which no hold says"
    yield from (f"lost: {row['hold_id']} is captured without a debit" for row in captured.values())


def transfers(rows: Mapping[str, list[Row]]) -> Iterator[str]:
    """A transfer is a debit of one wallet and a credit of another, and conserves the money."""
    sides: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows["wallet_transactions"]:
        if row["transfer_id"] is not None:
            sides[(row["business_id"], row["transfer_id"])].append(row)
    for (_, transfer_id), made in sides.items():
        types = Counter(row["type"] for row in made)
        amounts = {row["amount_minor"] for row in made}
        wallets = {row["wallet_id"] for row in made}
        if types != {"debit": 1, "credit": 1} or len(amounts) != 1 or len(wallets) != 2:
            yield f"lost: the movements of {transfer_id} are {dict(types)} of {sorted(amounts)}"
    total = sum(
        row["amount_minor"] for row in rows["postings"] if row["account"].startswith("transfers:")
    )
    if total:
        yield f"the postings of transfers sum to {total}"


def answers(operations: Sequence[Operation], rows: Mapping[str, list[Row]]) -> Iterator[str]:
    """Every operation on a wallet took effect once or not at all, as its client was answered."""
    made: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows["wallet_transactions"]:
        if row["reason"] == "transfer" and row["type"] == "debit":
            made[row["description"]].append(row)
        if row["reason"] == "receivable" and row["payment_id"] is None:
            made[f"settled {row['amount_minor']}"].append(row)
    for row in rows["wallet_holds"]:
        made[row["description"]].append(row)
    closers = Counter(
        each.request.hold_id for each in operations if each.kind in ("capture_hold", "release_hold")
    )
    by_id = {row["hold_id"]: row for row in rows["wallet_holds"]}
    for each in operations:
        match each.kind:
            case "transfer":
                yield from _once(each, made.pop(each.description, []), "from_transaction_id")
            case "hold" | "short_hold":
                yield from _once(each, made.pop(each.description, []), "hold_id")
            case "settle":
                amount = each.request.amount
                minor = amount.units * 100 + amount.nanos // 10**7
                yield from _once(each, made.pop(f"settled {minor}", []), "transaction_id")
            case "capture_hold" | "release_hold":
                hold_id = each.request.hold_id
                yield from _closed(each, by_id[hold_id], is_alone=closers[hold_id] == 1)
    yield from (f"{name} happened, which no client requested" for name in made)


def _once(operation: Operation, made: Sequence[Row], identity: str) -> Iterator[str]:
    """Compare the rows of an operation, whose response has the row's id in the field `identity`."""
    if len(made) > 1:
        yield f"{operation} was executed {len(made)} times"
    if operation.was_refused and made:
        yield f"{operation} was refused with {operation.final[0].reason}, and executed"
    if operation.was_executed:
        wanted = getattr(operation.response(), identity)
        if wanted not in {row[identity.removeprefix("from_")] for row in made}:
            yield f"lost: {operation} succeeded, and {wanted} does not exist"


def _closed(operation: Operation, hold: Row, *, is_alone: bool) -> Iterator[str]:
    """Compare the hold that an operation closes, if it `is_alone` or was executed."""
    status = "captured" if operation.kind == "capture_hold" else "released"
    if operation.was_executed and hold["status"] != status:
        yield f"lost: {operation} succeeded, and the hold is {hold['status']}"
    if is_alone and operation.was_refused and hold["status"] == status:
        yield f"{operation} was refused with {operation.final[0].reason}, and executed"
    if operation.was_executed and status == "captured":
        wanted = operation.response().transaction_id
        if hold["transaction_id"] != wanted:
            yield f"lost: {operation} got {wanted}, not {hold['transaction_id']}"
