"""Queries of the doctor on wallets, postings and credits."""

from typing import Any

from sqlalchemy import Column, ColumnElement, Select, and_, case, func, or_, select, text
from sqlalchemy.sql.functions import coalesce

from core.database.schema import (
    payments,
    postings,
    wallet_holds,
    wallet_transactions,
    wallets,
)
from core.doctor.payments_store import OVERDUE_AFTER
from core.doctor.store import RELEASE_END, Scope, command, problem

_CREDITED = ("succeeded", "partially_refunded", "refunded", "disputed")
"""Statuses of a funding that credited the wallet, whether refunded later or not."""
_MAYBE_CREDITED = (*_CREDITED, "voided")
_SIGNED_AMOUNT = case(
    (wallet_transactions.c.type == "credit", wallet_transactions.c.amount_minor),
    else_=-wallet_transactions.c.amount_minor,
)


def ledger_sums(scope: Scope) -> Select[Any]:
    """Sum of the postings of each business, environment and currency."""
    of_wallet = and_(
        wallets.c.business_id == postings.c.business_id, wallets.c.wallet_id == postings.c.account
    )
    env = case(
        (postings.c.account.contains(":TEST:"), "TEST"),
        (postings.c.account.contains(":LIVE:"), "LIVE"),
        else_=wallets.c.env,
    )
    one = (
        select(
            postings.c.business_id,
            env.label("env"),
            postings.c.currency,
            postings.c.amount_minor,
        )
        .outerjoin(wallets, of_wallet)
        .where(scope.contains(postings.c.business_id, postings.c.transaction_id))
        .subquery()
    )
    named = (one.c.business_id, one.c.env, one.c.currency)
    return select(*named, func.sum(one.c.amount_minor).label("sum_minor")).group_by(*named)


def transactions_without_postings(scope: Scope) -> Select[Any]:
    """Wallet transactions whose two postings are missing or do not match."""
    of_movement = wallet_transactions
    of_wallet = postings.c.account == of_movement.c.wallet_id
    of_business = postings.c.account.like("%:" + wallets.c.env + ":" + wallets.c.currency)
    signed_at_wallet = func.sum(case((of_wallet, postings.c.amount_minor), else_=0))
    return (
        select(
            of_movement.c.business_id,
            of_movement.c.transaction_id,
            of_movement.c.wallet_id,
            problem(
                (func.count(postings.c.account) != 2, "has not two postings"),
                (func.sum(postings.c.amount_minor) != 0, "its postings do not sum to zero"),
                (
                    or_(
                        func.min(postings.c.currency) != wallets.c.currency,
                        func.max(postings.c.currency) != wallets.c.currency,
                    ),
                    "a posting is not in the wallet's currency",
                ),
                (signed_at_wallet != _SIGNED_AMOUNT, "the wallet's posting is not its amount"),
                (
                    func.sum(case((of_business, 1), else_=0)) != 1,
                    "no posting on an account of the wallet's environment and currency",
                ),
            ),
        )
        .join(wallets, _same_wallet())
        .outerjoin(
            postings,
            and_(
                postings.c.business_id == of_movement.c.business_id,
                postings.c.transaction_id == of_movement.c.transaction_id,
                # Repeated for this side, or PostgreSQL reads the whole table for each chunk.
                scope.contains(postings.c.business_id, postings.c.transaction_id),
            ),
        )
        .where(scope.contains(of_movement.c.business_id, of_movement.c.transaction_id))
        .group_by(
            of_movement.c.business_id,
            of_movement.c.transaction_id,
            of_movement.c.wallet_id,
            of_movement.c.type,
            of_movement.c.amount_minor,
            wallets.c.env,
            wallets.c.currency,
        )
    )


def wallets_below_zero(scope: Scope) -> Select[Any]:
    """Wallets with a negative balance."""
    return select(
        wallets.c.business_id,
        wallets.c.wallet_id,
        wallets.c.balance_minor,
        problem((wallets.c.balance_minor < 0, "is below zero")),
    ).where(scope.contains(wallets.c.business_id, wallets.c.wallet_id))


def wallets_not_matching_postings(scope: Scope) -> Select[Any]:
    """Wallets whose balance is not the sum of their postings."""
    replayed = (
        select(coalesce(func.sum(postings.c.amount_minor), 0))
        .where(
            postings.c.business_id == wallets.c.business_id,
            postings.c.account == wallets.c.wallet_id,
        )
        .scalar_subquery()
        .label("postings_minor")
    )
    one = (
        select(wallets.c.business_id, wallets.c.wallet_id, wallets.c.balance_minor, replayed)
        .where(scope.contains(wallets.c.business_id, wallets.c.wallet_id))
        .subquery()
    )
    return select(
        *one.c,
        problem((one.c.balance_minor != one.c.postings_minor, "balance is not its postings' sum")),
    )


def wallets_not_matching_holds(scope: Scope) -> Select[Any]:
    """Wallets whose held amount is not the sum of their open holds, or above the balance."""
    is_open = (
        select(coalesce(func.sum(wallet_holds.c.amount_minor), 0))
        .where(
            wallet_holds.c.business_id == wallets.c.business_id,
            wallet_holds.c.user_id == wallets.c.user_id,
            wallet_holds.c.env == wallets.c.env,
            wallet_holds.c.status == "open",
        )
        .scalar_subquery()
        .label("open_holds_minor")
    )
    one = (
        select(
            wallets.c.business_id,
            wallets.c.wallet_id,
            wallets.c.balance_minor,
            wallets.c.held_minor,
            is_open,
        )
        .where(scope.contains(wallets.c.business_id, wallets.c.wallet_id))
        .subquery()
    )
    return select(
        *one.c,
        problem(
            (one.c.held_minor != one.c.open_holds_minor, "held is not its open holds' sum"),
            (one.c.held_minor > one.c.balance_minor, "more is held than its balance"),
        ),
    )


def captures_without_transaction(scope: Scope) -> Select[Any]:
    """Captured holds that did not debit their wallet once with the captured amount."""
    table = wallet_transactions
    return (
        select(
            wallet_holds.c.business_id,
            wallet_holds.c.hold_id,
            wallet_holds.c.wallet_id,
            problem(
                (table.c.transaction_id.is_(None), "was captured without a debit"),
                (
                    or_(
                        table.c.amount_minor != wallet_holds.c.captured_minor,
                        table.c.reason != "hold_capture",
                        table.c.wallet_id != wallet_holds.c.wallet_id,
                    ),
                    "its transaction is not its capture",
                ),
            ),
        )
        .outerjoin(
            table,
            and_(
                table.c.business_id == wallet_holds.c.business_id,
                table.c.transaction_id == wallet_holds.c.transaction_id,
            ),
        )
        .where(
            scope.contains(wallet_holds.c.business_id, wallet_holds.c.hold_id),
            wallet_holds.c.status == "captured",
        )
    )


def overdue_holds(scope: Scope) -> Select[Any]:
    """Holds that a core should have closed."""
    return select(
        wallet_holds.c.business_id,
        wallet_holds.c.hold_id,
        wallet_holds.c.look_at,
        problem((wallet_holds.c.look_at.is_not(None), "was not looked at")),
    ).where(
        wallet_holds.c.look_at < scope.now - OVERDUE_AFTER, wallet_holds.c.set_aside_at.is_(None)
    )


def holds_set_aside(scope: Scope) -> Select[Any]:
    """Holds at which no core looks until they are released."""
    return select(
        wallet_holds.c.business_id,
        wallet_holds.c.hold_id,
        wallet_holds.c.set_aside_at,
        wallet_holds.c.set_aside_error,
        command("queue release wallet_hold", wallet_holds.c.hold_id, RELEASE_END),
        problem((wallet_holds.c.set_aside_at.is_not(None), "is set aside")),
    ).where(wallet_holds.c.set_aside_at <= scope.now)


def wallets_not_matching_last_transaction(scope: Scope) -> Select[Any]:
    """Wallets whose version or balance does not match their last transaction."""
    table = wallet_transactions
    newest = (
        select(coalesce(func.max(table.c.version), 0))
        .where(
            table.c.business_id == wallets.c.business_id, table.c.wallet_id == wallets.c.wallet_id
        )
        .scalar_subquery()
        .label("last_version")
    )
    one = (
        select(
            wallets.c.business_id,
            wallets.c.wallet_id,
            wallets.c.version,
            newest,
            wallets.c.balance_minor,
        )
        .where(scope.contains(wallets.c.business_id, wallets.c.wallet_id))
        .subquery()
    )
    left = coalesce(table.c.balance_after_minor, 0)
    return select(
        one.c.business_id,
        one.c.wallet_id,
        one.c.version,
        one.c.last_version,
        problem(
            (one.c.version != one.c.last_version, "version is not its last transaction's"),
            (one.c.balance_minor != left, "balance is not what its last transaction left"),
        ),
    ).outerjoin(
        table,
        and_(
            table.c.business_id == one.c.business_id,
            table.c.wallet_id == one.c.wallet_id,
            table.c.version == one.c.last_version,
        ),
    )


def transactions_out_of_sequence(scope: Scope) -> Select[Any]:
    """Wallet transactions whose version or balance does not continue the previous one."""
    table = wallet_transactions

    def before(column: Column[int]) -> ColumnElement[int]:
        wallet = (table.c.business_id, table.c.wallet_id)
        previous = func.lag(column).over(partition_by=wallet, order_by=table.c.version)
        return coalesce(previous, 0)

    return select(
        table.c.business_id,
        table.c.transaction_id,
        table.c.wallet_id,
        table.c.version,
        problem(
            (table.c.version != before(table.c.version) + 1, "a version is missing before it"),
            (
                table.c.balance_after_minor != before(table.c.balance_after_minor) + _SIGNED_AMOUNT,
                "balance_after is not the one before it and its amount",
            ),
        ),
    ).where(scope.contains(table.c.business_id, table.c.wallet_id))


def receivables_not_matching_postings(scope: Scope) -> Select[Any]:
    """Wallets whose receivable is not what the postings of its transactions say."""
    table = wallet_transactions
    replayed = (
        select(coalesce(-func.sum(postings.c.amount_minor), 0))
        .select_from(table)
        .join(
            postings,
            and_(
                postings.c.business_id == table.c.business_id,
                postings.c.transaction_id == table.c.transaction_id,
                postings.c.account.like("receivables:%"),
            ),
        )
        .where(
            table.c.business_id == wallets.c.business_id,
            table.c.wallet_id == wallets.c.wallet_id,
            # In these words the planners know ix_wallet_transactions_receivable by it.
            text("wallet_transactions.reason = 'receivable'"),
        )
        .scalar_subquery()
        .label("postings_minor")
    )
    one = (
        select(wallets.c.business_id, wallets.c.wallet_id, wallets.c.receivable_minor, replayed)
        .where(scope.contains(wallets.c.business_id, wallets.c.wallet_id))
        .subquery()
    )
    return select(
        *one.c,
        problem(
            (one.c.postings_minor < 0, "more was settled than was owed"),
            (
                one.c.receivable_minor != one.c.postings_minor,
                "receivable is not its postings' sum",
            ),
        ),
    )


def payments_not_matching_credits(scope: Scope) -> Select[Any]:
    """Payments that did not credit a wallet as they should have."""
    credit = wallet_transactions
    of_payment: ColumnElement[bool] = and_(
        credit.c.business_id == payments.c.business_id,
        credit.c.payment_id == payments.c.payment_id,
        credit.c.type == "credit",
        # Not the part of a refund that the business paid, nor the reversal of a refund or dispute.
        credit.c.reason.not_in(("receivable", "refund", "dispute")),
    )
    how_many = (
        select(func.count())
        .select_from(credit)
        .where(of_payment)
        .correlate(payments)
        .scalar_subquery()
    )
    funding = and_(of_payment, credit.c.reason == "wallet_fund")
    return (
        select(
            payments.c.business_id,
            payments.c.payment_id,
            payments.c.status,
            credit.c.transaction_id.label("wallet_transaction_id"),
            problem(
                (and_(payments.c.kind != "fund", how_many > 0), "a charge credited a wallet"),
                (
                    and_(payments.c.status.not_in(_MAYBE_CREDITED), how_many > 0),
                    "credited a wallet, though it did not succeed",
                ),
                (how_many > 1, "credited a wallet more than once"),
                (
                    and_(
                        payments.c.kind == "fund",
                        payments.c.status.in_(_CREDITED),
                        credit.c.transaction_id.is_(None),
                    ),
                    "succeeded, but credited no wallet",
                ),
                (
                    or_(
                        credit.c.amount_minor != payments.c.amount_minor,
                        wallets.c.currency != payments.c.currency,
                    ),
                    "credited another amount",
                ),
                (
                    or_(wallets.c.user_id != payments.c.user_id, wallets.c.env != payments.c.env),
                    "credited another wallet than the user's of its environment",
                ),
            ),
        )
        .outerjoin(credit, funding)
        .outerjoin(wallets, _same_wallet())
        .where(scope.contains(payments.c.business_id, payments.c.payment_id))
    )


def fundings_not_matching_refunds(scope: Scope) -> Select[Any]:
    """Fundings whose wallet was not debited for refunds and voids, or was debited too much."""
    table = wallet_transactions
    of_payment = and_(
        table.c.business_id == payments.c.business_id, table.c.payment_id == payments.c.payment_id
    )

    reversals = table.c.reason.in_(("refund", "dispute"))

    def sum_of(amount: ColumnElement[int], *conditions: ColumnElement[bool]) -> ColumnElement[int]:
        return (
            select(coalesce(func.sum(amount), 0))
            .where(of_payment, *conditions)
            .correlate(payments)
            .scalar_subquery()
        )

    one = (
        select(
            payments.c.business_id,
            payments.c.payment_id,
            payments.c.status,
            payments.c.amount_refunded_minor,
            sum_of(table.c.amount_minor, table.c.reason == "wallet_fund").label("credited_minor"),
            sum_of(-_SIGNED_AMOUNT, reversals).label("taken_minor"),
            sum_of(table.c.amount_minor, reversals, table.c.type == "debit").label("debited_minor"),
            sum_of(_SIGNED_AMOUNT, table.c.reason == "receivable").label("borne_minor"),
        )
        .where(scope.contains(payments.c.business_id, payments.c.payment_id))
        .subquery()
    )
    return select(
        *one.c,
        problem(
            (one.c.taken_minor > one.c.credited_minor, "more was taken back than credited"),
            (one.c.taken_minor < 0, "more was returned than taken back"),
            (one.c.borne_minor > one.c.debited_minor, "the business bore more than was taken back"),
            (
                and_(one.c.credited_minor > 0, one.c.taken_minor < one.c.amount_refunded_minor),
                "less was taken back than refunded",
            ),
            (
                and_(one.c.status == "voided", one.c.taken_minor < one.c.credited_minor),
                "voided, but not taken back",
            ),
            (
                and_(
                    one.c.status.in_(("succeeded", "partially_refunded", "refunded")),
                    one.c.taken_minor > one.c.amount_refunded_minor,
                ),
                "more was taken back than refunded, and no dispute is open or lost",
            ),
        ),
    )


def transactions_without_payment(scope: Scope) -> Select[Any]:
    """Wallet transactions whose payment does not exist."""
    table = wallet_transactions
    return (
        select(
            table.c.business_id,
            table.c.transaction_id,
            table.c.payment_id,
            problem((payments.c.payment_id.is_(None), "its payment does not exist")),
        )
        .outerjoin(
            payments,
            and_(
                payments.c.business_id == table.c.business_id,
                payments.c.payment_id == table.c.payment_id,
            ),
        )
        .where(
            scope.contains(table.c.business_id, table.c.transaction_id),
            table.c.payment_id.is_not(None),
        )
    )


def transfers_without_other_side(scope: Scope) -> Select[Any]:
    """Sides of transfers whose other side is missing or has another amount."""
    one, other = wallet_transactions, wallet_transactions.alias("other_side")
    return (
        select(
            one.c.business_id,
            one.c.transaction_id,
            one.c.wallet_id,
            one.c.transfer_id,
            problem(
                (other.c.transaction_id.is_(None), "the transfer has no other side"),
                (
                    and_(one.c.type == "debit", other.c.amount_minor != one.c.amount_minor),
                    "the other side has another amount",
                ),
            ),
        )
        .outerjoin(
            other,
            and_(
                other.c.business_id == one.c.business_id,
                other.c.transfer_id == one.c.transfer_id,
                other.c.type != one.c.type,
            ),
        )
        .where(
            scope.contains(one.c.business_id, one.c.transaction_id), one.c.transfer_id.is_not(None)
        )
    )


def _same_wallet() -> ColumnElement[bool]:
    return and_(
        wallets.c.business_id == wallet_transactions.c.business_id,
        wallets.c.wallet_id == wallet_transactions.c.wallet_id,
    )
