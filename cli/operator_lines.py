"""Lines about payments and refunds, for the operators' commands."""

from collections.abc import Iterable, Iterator
from typing import Any

from cli.operators import shown

_LABEL = 18
"""Width of the column of labels."""


def key_words(values: dict[str, Any]) -> str | None:
    """Return the idempotency key and whether its answer is stored, or None without a key."""
    key = values["work"]["idempotency_key"]
    if key is None:
        return None
    return f"{key} ({'its answer is stored' if values['is_answer_stored'] else 'no answer stored'})"


def value_lines(*values: tuple[str, object]) -> Iterator[str]:
    """Yield a line for each value that there is."""
    for label, value in values:
        if value:
            yield f"  {label:{_LABEL}}{shown(value)}"


def section(title: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield the title and the lines, or nothing without lines."""
    found = list(lines)
    if found:
        yield from ("", title, *found)


def finding_lines(findings: Iterable[dict[str, Any]]) -> list[str]:
    """Return a line for each thing that the gateway said."""
    return [
        f"  {each['object']:{_LABEL}}"
        + "  ".join(
            shown(part)
            for part in (
                each["object_id"],
                each["answer"] if each["is_answered"] else f"NO ANSWER: {each['answer']}",
                amount(each["fact"]),
            )
            if part
        )
        for each in findings
    ]


def event_lines(events: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each event."""
    for each in events:
        fact = each["fact"]
        said = (fact["kind"], fact["object_id"], amount(fact)) if fact else ("nothing of it",)
        says = " ".join(shown(part) for part in said if part)
        yield f"  {each['occurred_at']}  {shown(each['type'])}  {each['state']}: {says}"


def movement_lines(movements: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each wallet transaction."""
    for each in movements:
        yield (
            f"  {each['created_at']}  {each['type']} {amount(each)}  {each['reason']}  "
            f"{shown(each['wallet_id'])}, balance {each['new_balance']}"
        )


def decision_lines(decisions: Iterable[dict[str, Any]]) -> list[str]:
    """Return a line for each decision about a payment or refund."""
    lines = []
    for each in decisions:
        resolution = each["resolution"] or each["refund_resolution"]
        what = f"{each['action']} as {resolution}" if resolution else each["action"]
        named = f" {each['transaction_id']}" if each["transaction_id"] else ""
        forced = ", FORCED" if each["is_forced"] else ""
        reason = f": {each['reason']}" if each["reason"] else ""
        by = f"{what}{named} by {each['decided_by']}{forced}{reason}"
        lines.append(f"  {each['decided_at']}  {shown(by)} ({each['decision_id']})")
    return lines


def amount(values: dict[str, Any] | None, name: str = "amount") -> str | None:
    """Return an amount with its currency, or None without one."""
    if values is None or values[name] is None:
        return None
    return f"{values[name]} {values['currency']}"
