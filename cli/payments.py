"""The commands `payments show`, `resolve` and `retry`, for payments that nobody else decides."""

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
    "succeeded": pb.PAYMENT_RESOLUTION_SUCCEEDED,
    "declined": pb.PAYMENT_RESOLUTION_DECLINED,
    "failed": pb.PAYMENT_RESOLUTION_FAILED,
}


@click.group(cls=Group)
def payments() -> None:
    """Look into a payment, decide its outcome, or have its gateway asked again.

    For a payment whose outcome its gateway never reports. The core must be running, and the
    operator's token comes from NIVISCO_SERVICE_TOKEN or from the data directory.

    \b
    nivisco payments show PAY-2NE9QZMGVR8FFM7Z
    nivisco payments resolve PAY-2NE9QZMGVR8FFM7Z --as failed --reason "not in Stripe's dashboard"
    nivisco payments retry PAY-2NE9QZMGVR8FFM7Z

    Exit code 0: done; 1: the core refused or did not respond; 2: an option or setting is wrong.
    """  # noqa: D301 - \b keeps the lines apart


@payments.command()
@click.argument("payment_id", metavar="ID")
@business_option
@json_option
@core_options
def show(
    payment_id: str, business: str | None, target: str, data_dir: Path | None, *, as_json: bool
) -> None:
    """Show a payment, everything stored about it, and what its gateway says of it now.

    Nothing of it is secret, and it has no card data. Of a payment without the gateway's id, the
    charge is looked up as the core does itself: at Authorize.Net that voids a second transaction of
    the same payment.

    \b
    nivisco payments show PAY-2NE9QZMGVR8FFM7Z
    nivisco payments show PAY-2NE9QZMGVR8FFM7Z --json
    """  # noqa: D301 - \b keeps the lines apart
    request = pb.ShowPaymentRequest(payment_id=payment_id, business_id=business)
    values = call_operator(target, data_dir, request)
    if as_json:
        print_json(values)
    else:
        click.echo("\n".join(_payment_text(values)))


@payments.command()
@click.argument("payment_id", metavar="ID")
@click.option(
    "--as",
    "resolution",
    type=click.Choice([*_RESOLUTIONS]),
    required=True,
    help="succeeded: the card was charged. declined: it was not, and a retry with the same key "
    "gets that answer. failed: it was not, and a retry is a new charge.",
)
@click.option(
    "--transaction",
    metavar="ID",
    help="The gateway's id of the charge, for example pi_…. Needed for --as succeeded.",
)
@reason_option
@by_option
@force_option
@business_option
@json_option
@core_options
def resolve(
    payment_id: str,
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
    """Decide the outcome of a payment that its gateway does not report.

    The wallet, the answer to the idempotency key and the recurring cycle follow. The decision is
    recorded with who, why, and what the gateway said; to repeat it changes nothing. A success that
    the gateway shows later still replaces another outcome.

    Refused while a core charges the payment, if it has an outcome, and, without --force, if the
    gateway shows a charge or may still make it, or does not show the one that you name.

    \b
    nivisco payments resolve PAY-2NE9QZMGVR8FFM7Z --as succeeded --transaction pi_3Px… \\
        --reason "captured, see dashboard"
    nivisco payments resolve PAY-2NE9QZMGVR8FFM7Z --as failed --reason "keys revoked, not charged"
    """  # noqa: D301 - \b keeps the lines apart
    if resolution == "succeeded" and transaction is None:
        raise click.UsageError("--as succeeded needs --transaction ID, the gateway's id.")
    if resolution == "failed" and transaction is not None:
        raise click.UsageError("--transaction is for --as succeeded and --as declined.")
    request = pb.ResolvePaymentRequest(
        payment_id=payment_id,
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
    payment, decision = values["payment"], values["decision"]
    said = "was resolved already" if values["is_repeated"] else "is resolved"
    click.echo(
        f"{shown(payment['payment_id'])} {said} as {decision['resolution']}; it is "
        f"{payment['status']}."
    )
    click.echo("\n".join(decision_lines([decision])))


@payments.command()
@click.argument("payment_id", metavar="ID")
@click.option("--reason", metavar="TEXT", default="", help="Why, for the record.")
@by_option
@business_option
@json_option
@core_options
def retry(
    payment_id: str,
    reason: str,
    by: str | None,
    business: str | None,
    target: str,
    data_dir: Path | None,
    *,
    as_json: bool,
) -> None:
    """Have the gateway asked about a payment now, also one that was set aside.

    A pending payment is resolved by the next look, within seconds. Of any other one the gateway is
    asked at once, and what it says is applied. Nothing is charged a second time.

    \b
    nivisco payments retry PAY-2NE9QZMGVR8FFM7Z --reason "keys are valid again"
    """  # noqa: D301 - \b keeps the lines apart
    request = pb.RetryPaymentRequest(
        payment_id=payment_id,
        business_id=business,
        decided_by=operator_name(by),
        reason=reason,
    )
    values = call_operator(target, data_dir, request)
    if as_json:
        print_json(values)
        return
    payment, findings = values["payment"], values["decision"]["gateway_findings"]
    name = shown(payment["payment_id"])
    if payment["status"] == "pending":
        click.echo(f"{name} is due now: a core asks its gateway within seconds. See it with show.")
        return
    click.echo(f"{name} is {payment['status']}.")
    click.echo("\n".join(finding_lines(findings)))


def _payment_text(values: dict[str, Any]) -> Iterator[str]:
    """Yield the lines about a payment."""
    payment, work = values["payment"], values["work"]
    yield (
        f"{shown(payment['payment_id'])}: {payment['kind']} of {amount(payment)}, "
        f"{payment['status']}"
    )
    yield from value_lines(
        ("business", values["business_id"]),
        ("user", payment["user_id"]),
        ("gateway", f"{payment['gateway']} {payment['env']}"),
        ("transaction", payment["transaction_id"] or "not known"),
        ("decline code", payment["decline_code"]),
        ("refunded", amount(payment, "amount_refunded")),
        ("description", payment["description"]),
        ("created", payment["created_at"]),
        ("changed", payment["updated_at"]),
        ("attempt", work["attempt"]),
        ("leased until", work["leased_until"]),
        ("looks", f"{work['looks']}, the next one {work['look_at'] or 'never'}"),
        ("set aside", work["set_aside_at"] and f"{work['set_aside_at']} {work['set_aside_error']}"),
        ("last sent", work["sent_at"]),
        ("caller answered", "yes" if work["answered"] else "no"),
        ("idempotency key", key_words(values)),
        ("gateway key", work["gateway_key"]),
        ("gateway customer", work["customer_id"]),
    )
    yield from section(
        f"The gateway, asked {values['asked_at']}", finding_lines(values["gateway_findings"])
    )
    yield from section("Events of the gateway", event_lines(values["events"]))
    yield from section("Wallet", movement_lines(values["wallet_transactions"]))
    yield from section("Recurring cycle", _cycle_lines(values["cycle"]))
    yield from section("Decisions", decision_lines(values["decisions"]))


def _cycle_lines(cycle: dict[str, Any] | None) -> Iterator[str]:
    if cycle is not None:
        yield (
            f"  {shown(cycle['recurring_id'])} ({cycle['job_status']}), cycle of "
            f"{cycle['occurrence_at']}: {cycle['status']}, attempt {cycle['attempt']}"
        )
