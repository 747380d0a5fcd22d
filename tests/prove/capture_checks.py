"""Whether authorizations, captures and voids are what their clients were answered, each once."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tests.prove.authorizations import closes
from tests.prove.gateway_side import CANCELLATION, CAPTURED_CENTS
from tests.prove.gateway_truth import CHARGED, Truth
from tests.prove.operations import Operation

Row = dict[str, Any]


def closed_in_dashboard(stripe: Mapping[str, Any]) -> set[str]:
    """Return the payment intents that were captured or canceled without a client's request."""
    return {
        each["id"]
        for each in stripe.get("payment_intents", [])
        if each["cancellation_reason"] == CANCELLATION
        or each["amount_received"] % 100 == CAPTURED_CENTS
    }


def captures(
    operations: Sequence[Operation],
    truths: Sequence[Truth],
    payments: Sequence[Row],
    closed_there: Collection[str],
) -> Iterator[str]:
    """Every authorization is one payment, captured once, as requested, or not at all.

    Of those that were captured or voided in the dashboard (`closed_there`), clients know less.
    """
    rows = {row["payment_id"]: row for row in payments}
    by_description: defaultdict[str, list[Truth]] = defaultdict(list)
    for truth in truths:
        by_description[truth.description].append(truth)
        row = rows.get(truth.payment_id)
        is_known = row is not None and row["transaction_id"] == truth.transaction_id
        if truth.status == "authorized" and not is_known:
            yield f"lost: the gateway holds the amount of {truth.payment_id}, which we do not know"
    closing: defaultdict[str, list[Operation]] = defaultdict(list)
    for each in operations:
        if each.is_reservation:
            yield from _authorized(each, by_description[each.description])
        if closes(each.kind):
            closing[each.request.payment_id].append(each)
    for payment_id, row in rows.items():
        if row["authorized_minor"] is not None:
            is_ours = row["transaction_id"] not in closed_there
            yield from _captured(row, closing[payment_id], is_ours=is_ours)
    yield from _closed(closing, rows, closed_there)


def _authorized(operation: Operation, found: Sequence[Truth]) -> Iterator[str]:
    """An amount was held or taken at most once for an operation, as its client was answered."""
    held = [each for each in found if each.status in ("authorized", *CHARGED)]
    if len(held) > 1:
        yield f"double charge: {operation} was authorized {len(held)} times"
    if operation.was_refused and held and not operation.may_complete:
        yield f"{operation} was refused with {operation.final[0].reason}, and authorized"
    if operation.was_executed:
        wanted = operation.response().transaction_id
        if wanted not in {each.transaction_id for each in found if each.status != "declined"}:
            yield f"lost: {operation} got {wanted}, which was never authorized"


def _captured(row: Row, closing: Sequence[Operation], *, is_ours: bool) -> Iterator[str]:
    """What was taken is at most what was authorized, and what a client requested."""
    name = f"{row['payment_id']} ({row['description']})"
    if row["amount_minor"] > row["authorized_minor"]:
        yield f"{name} took {row['amount_minor']} of {row['authorized_minor']}"
    wanted = {_amount(each, row) for each in closing if each.is_capture}
    if not is_ours:
        return
    if row["status"] in CHARGED and row["amount_minor"] not in wanted:
        yield f"{name} took {row['amount_minor']}, and {wanted} was requested"
    if row["status"] == "voided" and all(each.is_capture for each in closing):
        yield f"lost: {name} is voided, which no client requested"


def _closed(
    closing: Mapping[str, Sequence[Operation]],
    rows: Mapping[str, Row],
    closed_there: Collection[str],
) -> Iterator[str]:
    """Every capture and void took effect once or not at all, as its client was answered."""
    for payment_id, requests in closing.items():
        row = rows[payment_id]
        executed = Counter(each.is_capture for each in requests if each.was_executed)
        if len(executed) > 1:
            yield f"double charge: {payment_id} was captured and voided"
        for each in requests:
            is_done = row["status"] == "voided"
            if each.is_capture:
                is_done = row["status"] in CHARGED and row["amount_minor"] == _amount(each, row)
            if each.was_executed and not is_done:
                yield (
                    f"lost: {each} succeeded, and {payment_id} is {row['status']} with"
                    f" {row['amount_minor']}"
                )
            is_its = len(requests) == 1 and row["transaction_id"] not in closed_there
            if each.was_refused and is_done and is_its:
                yield f"{each} was refused with {each.final[0].reason}, and executed"


def _amount(capture: Operation, row: Row) -> int:
    """Return what a capture requests of a payment."""
    if not capture.request.HasField("amount"):
        return int(row["authorized_minor"])
    amount = capture.request.amount
    return int(amount.units * 100 + amount.nanos // 10**7)
