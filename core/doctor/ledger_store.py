"""What the doctor asks about wallets and the ledger: each query gives the rows that are wrong."""

from typing import Any

from sqlalchemy import Column, ColumnElement, Select, and_, case, func, or_, select
from sqlalchemy.sql.functions import coalesce

from core.database.schema import (
    payments,
    postings,
    wallet_transactions,
    wallets,
)
from core.doctor.store import Scope, problem

_CREDITED = ("succeeded", "partially_refunded", "refunded", "disputed")
"""Statuses of a funding whose money arrived, and may have gone again since."""
_MAYBE_CREDITED = (*_CREDITED, "voided")
_SIGNED = case(
    (wallet_transactions.c.type == "credit", wallet_transactions.c.amount_minor),
    else_=-wallet_transactions.c.amount_minor,
)


def ledger_sums(scope: Scope) -> Select[Any]:
    """What the postings of each business, environment and currency sum to."""
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
        .where(scope.holds(postings.c.business_id, postings.c.transaction_id))
        .subquery()
    )
    named = (one.c.business_id, one.c.env, one.c.currency)
    return select(*named, func.sum(one.c.amount_minor).label("sum_minor")).group_by(*named)


def movements_without_their_postings(scope: Scope) -> Select[Any]:
    """Wallet transactions whose two postings are not there, or say something else."""
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
                (signed_at_wallet != _SIGNED, "the wallet's posting is not its amount"),
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
                # Said again of this side, or PostgreSQL reads all of it for each piece.
                scope.holds(postings.c.business_id, postings.c.transaction_id),
            ),
        )
        .where(scope.holds(of_movement.c.business_id, of_movement.c.transaction_id))
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
    """Wallets that hold less than nothing."""
    return select(
        wallets.c.business_id,
        wallets.c.wallet_id,
        wallets.c.balance_minor,
        problem((wallets.c.balance_minor < 0, "is below zero")),
    ).where(scope.holds(wallets.c.business_id, wallets.c.wallet_id))


def wallets_that_are_not_their_postings(scope: Scope) -> Select[Any]:
    """Wallets whose balance is not what replaying their postings gives."""
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
        .where(scope.holds(wallets.c.business_id, wallets.c.wallet_id))
        .subquery()
    )
    return select(
        *one.c,
        problem((one.c.balance_minor != one.c.postings_minor, "balance is not its postings' sum")),
    )


def wallets_that_are_not_their_last_movement(scope: Scope) -> Select[Any]:
    """Wallets whose version or balance is not what their last transaction left."""
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
        .where(scope.holds(wallets.c.business_id, wallets.c.wallet_id))
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


def movements_that_do_not_follow(scope: Scope) -> Select[Any]:
    """Wallet transactions that are not the next one after the one before them."""
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
                table.c.balance_after_minor != before(table.c.balance_after_minor) + _SIGNED,
                "balance_after is not the one before it and its amount",
            ),
        ),
    ).where(scope.holds(table.c.business_id, table.c.wallet_id))


def payments_without_their_credit(scope: Scope) -> Select[Any]:
    """Payments that should have credited a wallet and did not, or the other way round."""
    credit = wallet_transactions
    of_payment: ColumnElement[bool] = and_(
        credit.c.business_id == payments.c.business_id,
        credit.c.payment_id == payments.c.payment_id,
        credit.c.type == "credit",
        credit.c.reason != "receivable",  # what the business bore of a refund
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
        .where(scope.holds(payments.c.business_id, payments.c.payment_id))
    )


def fundings_not_taken_back(scope: Scope) -> Select[Any]:
    """Fundings whose wallet did not give back what was refunded or voided, or gave too much."""
    table = wallet_transactions
    of_payment = and_(
        table.c.business_id == payments.c.business_id, table.c.payment_id == payments.c.payment_id
    )

    def sum_of(*reasons: str) -> ColumnElement[int]:
        return (
            select(coalesce(func.sum(table.c.amount_minor), 0))
            .where(of_payment, table.c.reason.in_(reasons))
            .correlate(payments)
            .scalar_subquery()
        )

    one = (
        select(
            payments.c.business_id,
            payments.c.payment_id,
            payments.c.status,
            payments.c.amount_refunded_minor,
            sum_of("wallet_fund").label("credited_minor"),
            sum_of("refund", "dispute").label("taken_minor"),
            sum_of("receivable").label("borne_minor"),
        )
        .where(scope.holds(payments.c.business_id, payments.c.payment_id))
        .subquery()
    )
    return select(
        *one.c,
        problem(
            (one.c.taken_minor > one.c.credited_minor, "more was taken back than credited"),
            (one.c.borne_minor > one.c.taken_minor, "the business bore more than was taken back"),
            (
                and_(one.c.credited_minor > 0, one.c.taken_minor < one.c.amount_refunded_minor),
                "less was taken back than refunded",
            ),
            (
                and_(one.c.status == "voided", one.c.taken_minor < one.c.credited_minor),
                "voided, but not taken back",
            ),
        ),
    )


def movements_without_their_payment(scope: Scope) -> Select[Any]:
    """Wallet transactions that name a payment which does not exist."""
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
            scope.holds(table.c.business_id, table.c.transaction_id),
            table.c.payment_id.is_not(None),
        )
    )


def _same_wallet() -> ColumnElement[bool]:
    return and_(
        wallets.c.business_id == wallet_transactions.c.business_id,
        wallets.c.wallet_id == wallet_transactions.c.wallet_id,
    )
