"""Whether the cycles of recurring jobs are what their payments became at the gateways."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.prove.gateway_truth import Truth
from tests.prove.operations import STATE_REASONS, Operation
from tests.prove.triggers import RETRIES

Row = dict[str, Any]
_PERIODS: Final = {
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=365.2425 / 12),
}


@dataclass(frozen=True, slots=True)
class _Cycles:
    """All that belongs to one job."""

    job: Row
    occurrences: Sequence[Row]
    logs: Sequence[Row]
    charges: Mapping[datetime, int]
    """Number of charges by the occurrence's time: at a gateway, or debits of a wallet."""

    def __str__(self) -> str:
        return f"{self.job['recurring_id']} ({self.job['description']}, {self.job['source']})"


def cycle_differences(truths: Sequence[Truth], rows: Mapping[str, list[Row]]) -> Iterator[str]:
    """Every cycle is charged at most once, and counted as its payment became; none is lost."""
    charged = {each.payment_id for each in truths if each.is_charged}
    occurrences, logs = _by_job(rows, "recurring_occurrences"), _by_job(rows, "recurring_logs")
    charges: defaultdict[str, Counter[datetime]] = defaultdict(Counter)
    for row in rows["payments"]:
        key = row["idempotency_key"] or ""
        if row["payment_id"] in charged and key.startswith("§"):
            recurring_id, scheduled, _ = key.removeprefix("§").split("/")
            scheduled_at = datetime.fromtimestamp(int(scheduled), UTC)
            charges[recurring_id][scheduled_at] += 1
    debits = {row["transaction_id"] for row in rows["wallet_transactions"]}
    for row in rows["recurring_logs"]:
        if row["payment_id"] is None and row["status"] == "succeeded":
            if row["transaction_id"] not in debits:
                yield f"lost: {row['recurring_id']} was debited, and no wallet moved"
            charges[row["recurring_id"]][_time(row["occurrence"])] += 1
    for job in rows["recurring_jobs"]:
        identity = job["recurring_id"]
        cycles = _Cycles(job, occurrences[identity], logs[identity], charges[identity])
        yield from _counted(cycles)
        yield from _in_order(cycles)
    logged = sum(1 for row in rows["recurring_logs"] if row["transaction_id"] in debits)
    moved = [row for row in rows["wallet_transactions"] if row["reason"] == "recurring_charge"]
    if len(moved) != logged:
        yield f"lost: {len(moved)} debits for recurring jobs, and {logged} are logged"


def retry_differences(
    operations: Sequence[Operation], rows: Mapping[str, list[Row]]
) -> Iterator[str]:
    """A client's retry of a failed cycle charges it, unless it was answered otherwise."""
    logs = {row["log_id"]: row for row in rows["recurring_logs"]}
    for each in operations:
        if not each.is_retry:
            continue
        if each.was_executed:
            told = each.response().log
            row = logs.get(told.log_id)
            if row is None or row["status"] != "succeeded":
                yield f"lost: {each} got {told.log_id}, which is {row and row['status']}"
            elif (row["payment_id"] or "", row["transaction_id"]) != (
                told.payment_id,
                told.transaction_id,
            ):
                yield f"{each} got another charge than was made"
        # Nobody else could charge the cycle of these, so it was this retry.
        if each.kind in RETRIES and each.was_refused and each.final[0].reason in STATE_REASONS:
            yield f"{each} was refused with {each.final[0].reason}: it forgot its charge"


def _counted(cycles: _Cycles) -> Iterator[str]:
    """A cycle succeeded if it was charged, once; the job counts those."""
    job, charges = cycles.job, dict(cycles.charges)
    for row in cycles.occurrences:
        at = _time(row["occurrence"])
        count = charges.pop(at, 0)
        if count > 1:
            yield f"double charge: the cycle {at} of {cycles} was charged {count} times"
        if bool(count) != (row["status"] == "succeeded"):
            yield f"lost: the cycle {at} of {cycles} is {row['status']}, charged {count} times"
        logged = sum(
            1
            for log in cycles.logs
            if log["status"] == "succeeded" and _time(log["occurrence"]) == at
        )
        if logged != min(count, 1):
            yield f"lost: the cycle {at} of {cycles} has {logged} successes in the log"
    yield from (f"double charge: {cycles} has no cycle {at}, which was charged" for at in charges)
    executed = sum(1 for count in cycles.charges.values() if count)
    if job["executed_cycles"] != executed:
        yield f"{cycles} counts {job['executed_cycles']} cycles, and {executed} were charged"
    if job["max_cycles"] is not None and executed > job["max_cycles"]:
        yield f"double charge: {cycles} charged {executed} of {job['max_cycles']} cycles"


def _in_order(cycles: _Cycles) -> Iterator[str]:
    """One cycle follows the other, each in a period of its own, and none is left out."""
    job = cycles.job
    times = {_time(row["occurrence"]) for row in [*cycles.occurrences, *cycles.logs]}
    if job["status"] == "active" and job["next_run"] and job["open_occurrence"] is None:
        times.add(_time(job["next_run"]))
    if not times or job["interval_value"] != 1:
        return
    period = _PERIODS[job["interval_type"]]
    ordinals = sorted(round((at - min(times)) / period) for at in times)
    if ordinals != list(range(len(ordinals))):
        yield f"lost: the cycles of {cycles} are number {ordinals}: {sorted(map(str, times))}"


def _by_job(rows: Mapping[str, list[Row]], table: str) -> defaultdict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows[table]:
        found[row["recurring_id"]].append(row)
    return found


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
