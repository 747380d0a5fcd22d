"""The code of the mutants: each function patches one bug into this process before it serves.

A mutation replaces as little as possible: one function or constant.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from core.authentication.service import AuthenticationService
from core.business.rules import invalid_credentials
from core.cards import saving
from core.database.connections import Kind
from core.gateways.authorize import gateway as authorize_gateway
from core.gateways.gateway import Declined, GatewayCharge, Refused, Succeeded, Unknown
from core.gateways.stripe import gateway as stripe_gateway
from core.gateways.stripe import responses as stripe_responses
from core.idempotency import service as idempotency
from core.idempotency.call import Answer
from core.idempotency.pipeline import IdempotentRuns
from core.idempotency.service import Idempotency
from core.ids import new_request_id
from core.payments import (
    attempt_store,
    attempts,
    beginning,
    charge_request,
    delivery_store,
    funding,
    messages,
    retries,
    rules,
    sweep,
    transitions,
)
from core.payments.attempts import Attempts
from core.payments.service import PaymentsService
from core.security import keyring
from core.wallet import batch_store, ledger
from core.wallet import rules as wallet_rules
from core.wallet import store as wallet_store
from core.wallet.batch import WalletBatch
from core.wallet.rules import WalletState


def patch(owner: Any, name: str, replacement: Any) -> None:
    assert hasattr(owner, name), f"{owner} has no {name}: the mutation follows a rename"
    setattr(owner, name, replacement)


def _always(*_: Any) -> bool:
    return True


def new_gateway_key() -> None:
    def charge(**fields: Any) -> GatewayCharge:
        return GatewayCharge(**fields | {"gateway_key": new_request_id()})

    patch(charge_request, "GatewayCharge", charge)


def one_transaction_around_all() -> None:
    charge = PaymentsService.charge

    async def inside(self: PaymentsService, caller: Any, request: Any) -> Any:
        async with self._database.shared_transaction("mutant"):
            return await charge(self, caller, request)

    patch(PaymentsService, "charge", inside)


def unknown_is_declined() -> None:
    payment_update = rules.payment_update

    def updated(outcome: Any, **known: Any) -> Any:
        if isinstance(outcome, Unknown):
            return rules.PaymentUpdate("declined", decline_code="timeout")
        return payment_update(outcome, **known)

    patch(rules, "payment_update", updated)


def unknown_is_refused() -> None:
    refusal_of = rules.refusal_of

    def refusal(outcome: Any, payment_id: str, *retry_seconds: int) -> Any:
        if isinstance(outcome, Unknown):
            outcome = Refused("The gateway did not answer")
        return refusal_of(outcome, payment_id, *retry_seconds)

    patch(rules, "refusal_of", refusal)


def unknown_is_stored() -> None:
    patch(messages, "is_outcome", _always)


def empty_search_is_trusted() -> None:
    find = stripe_gateway.StripeGateway._find

    async def found(self: Any, *arguments: Any) -> Any:
        return await find(self, *arguments) or Refused("Stripe shows no such charge")

    patch(stripe_gateway.StripeGateway, "_find", found)


def lost_connection_is_certain() -> None:
    classify = stripe_responses.classify

    def certain(error: Exception) -> Any:
        failure = classify(error)
        if failure.kind is stripe_responses.Kind.LOST:
            return replace(failure, kind=stripe_responses.Kind.NOT_CONNECTED)
        return failure

    patch(stripe_gateway, "classify", certain)


def key_in_use_is_a_refusal() -> None:
    classify = stripe_responses.classify

    def refused(error: Exception) -> Any:
        failure = classify(error)
        if failure.kind is stripe_responses.Kind.KEY_IN_USE:
            return replace(failure, kind=stripe_responses.Kind.REFUSED)
        return failure

    patch(stripe_gateway, "classify", refused)


def credit_in_its_own_transaction() -> None:
    write, credit = Attempts._commit_outcome, funding.credit_wallet

    async def credited_before(transaction: Any, payment: Any) -> Any:
        ids = {"business_id": payment.business_id, "payment_id": payment.payment_id}
        return await wallet_store.wallet_after_credit(transaction, **ids)

    async def credited_first(self: Attempts, started: Any, outcome: Any) -> Any:
        if isinstance(outcome, Succeeded) and started.payment.kind == "fund":
            async with self._database.transaction("mutant") as transaction:
                await credit(transaction, started.payment)
        return await write(self, started, outcome)

    patch(transitions, "credit_wallet", credited_before)
    patch(Attempts, "_commit_outcome", credited_first)


def body_is_not_compared() -> None:
    async def same(*_: Any) -> bool:
        return True

    patch(Idempotency, "_is_same", same)


def answer_is_not_kept() -> None:
    async def nothing(self: Any, transaction: Any, **what: Any) -> None:
        pass

    patch(Idempotency, "keep_for_payment", nothing)


def record_is_not_kept() -> None:
    async def nothing(self: Any, transaction: Any, call: Any, answer: Any) -> None:
        pass

    patch(Idempotency, "keep", nothing)
    _write_no_records_of_batches()


def record_in_its_own_transaction() -> None:
    execute, keep = WalletBatch._run_batch, Idempotency.keep

    async def apart(self: WalletBatch, orders: Any) -> Any:
        ends = await execute(self, orders)
        for order, end in zip(orders, ends, strict=True):
            if not isinstance(end, Exception):
                async with self._database.transaction("mutant") as transaction:
                    await keep(self._idempotency, transaction, order.call, Answer.response(end))
        return ends

    _write_no_records_of_batches()
    patch(WalletBatch, "_run_batch", apart)


def _write_no_records_of_batches() -> None:
    write = batch_store.write

    async def without_records(transaction: Any, applied: Any, records: Any) -> bool:
        return await write(transaction, applied, [])

    patch(batch_store, "write", without_records)


def answered_before_the_commit() -> None:
    at_once = IdempotentRuns._run_in_one_transaction

    async def answer_early(self: Any, call: Any, serve: Any) -> Any:
        early: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def serve_early() -> Any:
            early.set_result(await serve())
            return early.result()

        whole = asyncio.ensure_future(at_once(self, call, serve_early))
        await asyncio.wait([whole, early], return_when=asyncio.FIRST_COMPLETED)
        return early.result() if early.done() else await whole

    patch(IdempotentRuns, "_run_in_one_transaction", answer_early)


def keys_expire_at_once() -> None:
    patch(idempotency, "KEY_LIFE", timedelta(0))


def resumed_as_if_new() -> None:
    start = Attempts.start

    def forgetful(self: Attempts, payment: Any, account: Any, **known: Any) -> Any:
        return start(self, payment, account, **known | {"may_have_charged": False})

    patch(Attempts, "start", forgetful)


def resent_after_key_expired() -> None:
    patch(rules, "resume_step", _sent)


def _sent(*known: Any, **more: Any) -> rules.ResumeStep:
    return rules.ResumeStep.SEND


def resent_without_lookup() -> None:
    patch(rules, "resume_step", _sent)


def second_transaction_stays() -> None:
    async def nothing(self: Any, *arguments: Any) -> None:
        pass

    patch(authorize_gateway.AuthorizeGateway, "_void_duplicate", nothing)


def unlisted_is_refused() -> None:
    look_up = authorize_gateway.AuthorizeGateway.look_up_charge

    async def looked_up(self: Any, *arguments: Any) -> Any:
        return await look_up(self, *arguments) or Declined(
            None, "generic_decline", "Nothing is listed"
        )

    patch(authorize_gateway.AuthorizeGateway, "look_up_charge", looked_up)


def customer_under_a_new_key() -> None:
    derived = keyring.derived_key

    def new(*parts: str) -> str:
        return derived(*parts, new_request_id())

    patch(saving, "derived_key", new)


def card_under_a_new_key() -> None:
    save = saving.CardSaver.save

    async def saved(self: Any, to_save: Any, **known: Any) -> Any:
        return await save(self, replace(to_save, request_key=new_request_id()), **known)

    patch(saving.CardSaver, "save", saved)


def keyed_retry_begins_anew() -> None:
    find_retried_payments = retries.find_retried_payments

    async def nothing(transaction: Any, caller: Any, request: Any, *more: Any, **known: Any) -> Any:
        if request.is_keyed:
            return []
        return await find_retried_payments(transaction, caller, request, *more, **known)

    patch(beginning, "find_retried_payments", nothing)


def record_without_its_payment() -> None:
    claim = Idempotency.claim

    async def claimed(self: Idempotency, transaction: Any, call: Any, *payment_id: Any) -> Any:
        return await claim(self, transaction, call)

    patch(Idempotency, "claim", claimed)


def unkeyed_retry_begins_anew() -> None:
    async def nothing(transaction: Any, **equal: Any) -> Any:
        return []

    patch(delivery_store, "unanswered_payments", nothing)


def answered_is_set_with_the_outcome() -> None:
    settle = attempt_store.end_attempt

    async def settled(
        transaction: Any,
        payment: Any,
        how: Any,
        *,
        answered: bool,
        responding_core: str | None = None,
        owner: str | None = None,
    ) -> bool:
        core = None if how.is_success else responding_core
        is_answered = answered or how.is_success
        return await settle(
            transaction, payment, how, answered=is_answered, responding_core=core, owner=owner
        )

    patch(attempt_store, "end_attempt", settled)


def nothing_sweeps() -> None:
    async def nothing(self: Any, key: Any) -> None:
        pass

    patch(sweep.Sweep, "look", nothing)


def sweep_closes_in_flight() -> None:
    async def close(self: Any, transaction: Any, payment: Any) -> None:
        await attempt_store.end_attempt(transaction, payment, rules.CLOSED_UNSENT, answered=True)

    patch(sweep.Sweep, "_resume_or_close", close)


def leases_never_end() -> None:
    patch(attempts, "LEASE", timedelta(days=30))


def retired_key_is_refused() -> None:
    async def refused(self: Any, *arguments: Any, **known: Any) -> Any:
        raise invalid_credentials()

    patch(AuthenticationService, "authenticate_retired", refused)


def one_posting() -> None:
    postings_of = wallet_rules.postings_of
    patch(ledger, "postings_of", lambda wallet, movement: postings_of(wallet, movement)[:1])


def credit_without_balance() -> None:
    apply = wallet_rules.apply

    def applied(wallet: Any, movement: Any) -> Any:
        result = apply(wallet, movement)
        if isinstance(result, WalletState) and movement.payment_id is not None:
            return result._replace(balance_minor=wallet.balance_minor)
        return result

    patch(ledger, "apply", applied)


def wallet_is_not_locked() -> None:
    lock, read = wallet_store.lock_wallets, batch_store.read

    async def released(transaction: Any) -> None:
        await transaction.connection.rollback()  # releases the locks
        await transaction.connection.begin(Kind.SHORT)

    async def read_early(transaction: Any, keys: Any) -> Any:
        states = await lock(transaction, keys)
        await released(transaction)
        return states

    async def read_batch_early(transaction: Any, *of: Any, **options: Any) -> None:
        await read(transaction, *of, **options)
        await released(transaction)

    patch(wallet_store, "lock_wallets", read_early)
    patch(batch_store, "read", read_batch_early)


def success_is_not_written() -> None:
    write = Attempts._commit_outcome

    async def in_background(self: Attempts, started: Any, outcome: Any) -> Any:
        if isinstance(outcome, Succeeded) and started.payment.kind == "charge":
            await asyncio.sleep(0)
            return await write(self, started, Unknown("the outcome was not written"))
        return await write(self, started, outcome)

    patch(Attempts, "_commit_outcome", in_background)
