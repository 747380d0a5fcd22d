"""The commands `refunds show`, `resolve` and `retry`, for refunds that nobody else decides."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cli.call_output import print_json
from cli.groups import Group
from cli.operator_lines import (
    amount,
    decision_lines,
    event_lines,
    finding_lines,
    key_words,
    movement_lines,
    section,
    value_lines,
)
from cli.operators import (
    business_option,
    by_option,
    call_operator,
    core_options,
    force_option,
    json_option,
    operator_name,
    reason_option,
    shown,
)
from nivisco.internal.v1 import operator_pb2 as pb

_RESOLUTIONS = {
    "succeeded": pb.REFUND_RESOLUTION_SUCCEEDED,
    "failed": pb.REFUND_RESOLUTION_FAILED,
}


@click.group(cls=Group)
def refunds() -> None:
    """Look into a refund, decide its outcome, or have its gateway asked again.

    For a refund whose outcome its gateway never reported. The core must be running, and the
    operator's token comes from NIVISCO_SERVICE_TOKEN or from the data directory.

    \b
    nivisco refunds show REF-2NGP845GYS1QFQ5M
    nivisco refunds resolve REF-2NGP845GYS1QFQ5M --as failed --reason "not at the gateway"
    nivisco refunds retry REF-2NGP845GYS1QFQ5M

    Exit code 0: done; 1: the core refused or did not respond; 2: an option or setting is wrong.
    """  # noqa: D301 - \b keeps the lines apart


@refunds.command()
@click.argument("refund_id", metavar="ID")
@business_option
@json_option
@core_options
def show(
    refund_id: str, business: str | None, target: str, data_dir: Path | None, *, as_json: bool
) -> None:
    """Show a refund, everything stored about it, and what its gateway says of it now.

    Nothing of it is secret, and it has no card data.

    \b
    nivisco refunds show REF-2NGP845GYS1QFQ5M
    nivisco refunds show REF-2NGP845GYS1QFQ5M --json
    """  # noqa: D301 - \b keeps the lines apart
    request = pb.ShowRefundRequest(refund_id=refund_id, business_id=business)
    values = call_operator(target, data_dir, request)
    if as_json:
        print_json(values)
    else:
        click.echo("\n".join(_refund_text(values)))


@refunds.command()
@click.argument("refund_id", metavar="ID")
@click.option(
    "--as",
    "resolution",
    type=click.Choice([*_RESOLUTIONS]),
    required=True,
    help="succeeded: the money was given back, and the refund counts for good. failed: it was not; "
    "what it reserved is free again, and a retry with the same key is a new refund.",
)
@click.option(
    "--transaction",
    metavar="ID",
    help="The gateway's id of the refund, for --as succeeded, if the gateway does not show it for "
    "our id: for example one that was made by hand.",
)
@reason_option
@by_option
@force_option
@business_option
@json_option
@core_options
def resolve(
    refund_id: str,
    resolution: str,
    transaction: str | None,
    reason: str,
    by: str | None,
    business: str | None,
    target: str,
    data_dir: Path | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Decide the outcome of a refund that its gateway does not report.

    The payment, the wallet that it funded, and the idempotency key follow. The decision is recorded
    with who, why, and what the gateway said; to repeat it changes nothing. What the gateway says of
    the refund later still counts, and is logged as an error if it contradicts the decision.

    Refused while a core makes the refund, if it has an outcome, and, without --force, if the
    gateway shows it or may still make it (failed), or does not show it (succeeded).

    \b
    nivisco refunds resolve REF-2NGP845GYS1QFQ5M --as succeeded \\
        --transaction 60123456789 --reason "made by hand in the merchant interface"
    nivisco refunds resolve REF-2NGP845GYS1QFQ5M --as failed \\
        --reason "not in the merchant interface"
    """  # noqa: D301 - \b keeps the lines apart
    if resolution == "failed" and transaction is not None:
        raise click.UsageError("--transaction is for --as succeeded.")
    request = pb.ResolveRefundRequest(
        refund_id=refund_id,
        business_id=business,
        resolution=_RESOLUTIONS[resolution],
        transaction_id=transaction,
        decided_by=operator_name(by),
        reason=reason,
        force=force,
    )
    values = call_operator(target, data_dir, request)
    if as_json:
        print_json(values)
        return
    refund, decision = values["refund"], values["decision"]
    said = "was resolved already" if values["is_repeated"] else "is resolved"
    click.echo(
        f"{shown(refund['refund_id'])} {said} as {decision['refund_resolution']}; it is "
        f"{refund['status']}."
    )
    click.echo("\n".join(decision_lines([decision])))


@refunds.command()
@click.argument("refund_id", metavar="ID")
@click.option("--reason", metavar="TEXT", default="", help="Why, for the record.")
@by_option
@business_option
@json_option
@core_options
def retry(
    refund_id: str,
    reason: str,
    by: str | None,
    business: str | None,
    target: str,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Have the gateway asked about a refund now, also one that was set aside.

    A pending refund is resolved by the next look, within seconds. Of any other one the gateway is
    asked at once, and what it says is applied. Nothing is refunded a second time.

    \b
    nivisco refunds retry REF-2NGP845GYS1QFQ5M --reason "keys are valid again"
    """  # noqa: D301 - \b keeps the lines apart
    request = pb.RetryRefundRequest(
        refund_id=refund_id,
        business_id=business,
        decided_by=operator_name(by),
        reason=reason,
    )
    values = call_operator(target, data_dir, request)
    if as_json:
        print_json(values)
        return
    refund, findings = values["refund"], values["decision"]["gateway_findings"]
    name = shown(refund["refund_id"])
    if refund["status"] == "pending" and not findings:
        click.echo(f"{name} is due now: a core asks its gateway within seconds. See it with show.")
        return
    click.echo(f"{name} is {refund['status']}.")
    click.echo("\n".join(finding_lines(findings)))


def _refund_text(values: dict[str, Any]) -> Iterator[str]:
    """Yield the lines about a refund."""
    refund, payment, work = values["refund"], values["payment"], values["work"]
    yield f"{shown(refund['refund_id'])}: refund of {amount(refund)}, {refund['status']}"
    yield from value_lines(
        ("business", values["business_id"]),
        ("user", refund["user_id"]),
        ("gateway", f"{refund['gateway']} {refund['env']}"),
        ("gateway's id", refund["gateway_refund_id"] or "not known"),
        ("failure code", refund["failure_code"]),
        ("payment", f"{payment['payment_id']} of {amount(payment)}, {payment['status']}"),
        ("transaction", payment["transaction_id"]),
        ("refunded", amount(payment, "amount_refunded")),
        ("description", refund["description"]),
        ("created", refund["created_at"]),
        ("changed", refund["updated_at"]),
        ("attempt", work["attempt"]),
        ("leased until", work["leased_until"]),
        ("looks", f"{work['looks']}, the next one {_next_look(work)}"),
        ("set aside", work["set_aside_at"] and f"{work['set_aside_at']} {work['set_aside_error']}"),
        ("last sent", work["sent_at"]),
        ("idempotency key", key_words(values)),
        ("gateway key", work["gateway_key"]),
    )
    yield from section(
        f"The gateway, asked {values['asked_at']}", finding_lines(values["gateway_findings"])
    )
    yield from section("Events of the gateway", event_lines(values["events"]))
    yield from section("Wallet", movement_lines(values["wallet_transactions"]))
    yield from section("Decisions", decision_lines(values["decisions"]))


def _next_look(work: dict[str, Any]) -> str:
    return "once it is released" if work["set_aside_at"] else work["look_at"] or "never"
