"""The clients of a scenario: they send requests, retry them and record the responses."""

import asyncio
import random
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from core.payments.retries import UNANSWERED_LIFE
from nivisco.payments.v1 import wallet_pb2
from rpc.errors import CoreError
from rpc.metadata import Credentials
from tests.prove import json_client
from tests.prove.authorizations import MIX as CAPTURE_MIX
from tests.prove.authorizations import Authorizations, closes
from tests.prove.environment import Core, Environment
from tests.prove.merchants import ADDS, KEYS, MODIFIES, Merchants
from tests.prove.operations import (
    AT_AUTHORIZE,
    RETRYABLE,
    Caller,
    FinalResponse,
    LostResponse,
    Operation,
)
from tests.prove.requests import (
    BUILDERS,
    CARD_OF_AUTHENTICATION,
    CARD_OF_REVIEW,
    JOB_DELAY,
    TEST,
    Target,
)
from tests.prove.scenario import Mode
from tests.prove.triggers import Trigger
from tests.prove.wallets import KINDS as WALLET_KINDS
from tests.prove.wallets import MIX as WALLET_MIX
from tests.prove.wallets import Wallets

TRIGGERS_MAX = 3
SETTLED = "settledSuccessfully"
DAY_SECONDS = 23.8 * 3600
"""After this an idempotency key may have expired, so that a retry proves nothing."""
BY_JSON = 0.1
"""Share of scenarios in which half of the money operations go over JSON."""
GIVES_UP = 0.2
"""Share of clients that give up at the first lost response."""
UNANSWERED_SECONDS = UNANSWERED_LIFE.total_seconds()
"""After this a charge without a key is not repeated, as the reference says."""
PAUSE_SECONDS = 0.01
PAUSE_SECONDS_MAX = 0.2
NEEDS_REVIEW = "NEEDS_REVIEW"
"""The final response to a charge that needs manual review."""
_MIX = ("charge", "fund", "debit", "credit", "create_user", "save_card", "overdraw", "decline")
_UNKEYED = (
    *("charge", "fund", "charge_authorize", "fund_authorize", "debit", "credit"),
    *("capture", "capture_authorize", "void", "void_authorize"),
)
"""Kinds that may be sent without an idempotency key."""
_JOBS = ("job", "job_wallet", "job_decline", "retry_any")
_SUSPENSIONS = ("suspend_user", "reactivate_user")
_DECLINED = frozenset({"decline", "job_decline"})
WITH_DECLINES = 0.3
"""Share of scenarios with declined charges."""
_ROLES = {
    # The user of each kind of operation; any other kind has the payer.
    "decline": "declined",
    "job_decline": "declined",
    "authenticate": "authenticating",
    "job_authenticate": "authenticating",
    "review": "reviewed",
}
JOB_DUE_SECONDS = JOB_DELAY.total_seconds() + 1


class Clients:
    """All clients, and the model: the responses that each of them received."""

    def __init__(self, environment: Environment, rng: random.Random, gateway: str = "") -> None:
        """Call the core of `environment`; `gateway` is the only one, or any if empty."""
        self._gateway = gateway
        self._environment = environment
        self._rng = rng
        self.operations: list[Operation] = []
        self.violations: list[str] = []
        """Responses that no client may receive."""
        self.replays = 0
        self.uses_json = rng.random() < BY_JSON
        self.has_authorize = gateway != "stripe"
        """Whether there is an account at Authorize.Net."""
        self.merchants = Merchants(environment, has_authorize=self.has_authorize)
        self._tasks: list[asyncio.Task[None]] = []
        self._rotation = asyncio.Lock()
        self._mix: list[str] = []
        self._users: dict[str, str] = {}
        """By role."""
        self._users_without_customer: list[str] = []
        self._refundable: dict[str, str] = {}
        """Payments with much left, by the kind of operation that refunds them."""
        self._cards: dict[str, str] = {}
        """A card of each user at Stripe."""
        self._cards_to_remove: list[tuple[str, str]] = []
        self._keys_to_revoke: list[str] = []
        self._users_to_change: dict[str, list[str]] = {kind: [] for kind in _SUSPENSIONS}
        """A user and their card."""
        self._customers_to_import: list[tuple[str, str]] = []
        """A user, and the customer at Stripe who they are."""
        self.wallets = Wallets()
        self.authorizations = Authorizations()

    async def set_up(self, triggers: Sequence[Trigger], mode: Mode) -> None:
        """Register the businesses and create the users that the triggers need."""
        kinds = {trigger.kind for trigger in triggers}
        self._mix = [*_MIX, *(_JOBS if mode.has_jobs else ())]
        if mode.has_webhooks:
            self._mix += ["authenticate", *(["review"] if self.has_authorize else [])]
        self._mix += WALLET_MIX if mode.has_holds else ()
        self._mix += CAPTURE_MIX if mode.has_captures else ()
        if self._rng.random() >= WITH_DECLINES:
            self._mix = [kind for kind in self._mix if kind not in _DECLINED]
        await self.merchants.set_up(triggers, mode)
        self._users["payer"] = await self.create_user("pm_card_visa")
        if self.has_authorize:
            await self.complete("save_authorize", user_id=self._users["payer"])
        if _DECLINED & {*self._mix}:
            self._users["declined"] = await self.create_user("pm_card_chargeCustomerFail")
        if mode.has_webhooks:
            self._users["authenticating"] = await self.create_user(CARD_OF_AUTHENTICATION)
        if mode.has_webhooks and self.has_authorize:
            self._users["reviewed"] = await self.create_user(None)
            await self.complete("save_reviewed", user_id=self._users["reviewed"])
        await self._create_used_up([trigger.kind for trigger in triggers])
        if kinds & MODIFIES:
            for kind in ADDS:
                await self.complete(kind)
        adds = sum(trigger.kind in ADDS for trigger in triggers)
        self.merchants.new = [await self.merchants.register("new") for _ in range(adds)]
        await self.complete("credit")
        wanted = [*(trigger.kind for trigger in triggers), *(WALLET_MIX if mode.has_holds else ())]
        wanted += CAPTURE_MIX if mode.has_captures else ()
        await self.wallets.set_up(self, wanted, TRIGGERS_MAX)
        await self.authorizations.set_up(self, wanted, TRIGGERS_MAX)
        await self.fund_refundable({*kinds, mode.play})

    async def fund_refundable(self, wanted: Collection[str]) -> None:
        """Fund a wallet at each gateway, and settle what has to settle before it is refunded."""
        if not any(each.startswith("give_back") for each in wanted):
            return
        await self.fund_to_refund("fund")
        if self.has_authorize:
            funded = await self.fund_to_refund("fund_authorize")
            body = {"transaction": funded.response().transaction_id, "status": SETTLED}
            await self._environment.call_sandbox("POST", "authorize/transactions", body)

    async def fund_to_refund(self, kind: str, user_id: str = "") -> Operation:
        """Fund a wallet, and have the following refunds at its gateway be of this payment."""
        funded = self.new(kind, user_id=user_id, is_keyed=True)
        funded.uses_json = False  # whose response has no payment_id
        await self.run(funded)
        self._refundable[kind.replace("fund", "give_back")] = funded.response().payment_id
        return funded

    async def _create_used_up(self, kinds: Sequence[str]) -> None:
        """Create the users and cards that are good for one operation each."""
        for _ in range(TRIGGERS_MAX * kinds.count("new_customer")):
            self._users_without_customer.append(await self.create_user(None))
        for _ in range(TRIGGERS_MAX * kinds.count("revoke_api_key")):
            created = await self.complete("create_api_key")
            self._keys_to_revoke.append(created.response().key_info.key_id)
        for kind in [kind for kind in kinds if kind in _SUSPENSIONS] * TRIGGERS_MAX:
            user_id = await self.create_user(None)
            self._users_to_change["suspend_user"].append(user_id)
            if kind == "reactivate_user":
                await self.complete("suspend_user")
                self._users_to_change[kind].append(user_id)
        for _ in range(TRIGGERS_MAX * kinds.count("remove_card")):
            user_id = await self.create_user("pm_card_visa")
            self._cards_to_remove.append((user_id, self._cards[user_id]))
        for _ in range(TRIGGERS_MAX * kinds.count("import_customer")):
            user_id = await self.create_user(None)
            self._customers_to_import.append((user_id, await self._create_customer()))

    async def _create_customer(self) -> str:
        """Create a customer with a card at Stripe, without the core, and return its id."""
        call, key = self._environment.call_stripe, self.merchants.stripe_key
        customer = await call("customers", {"name": "from before"}, key)
        await call("payment_methods/pm_card_visa/attach", {"customer": customer["id"]}, key)
        return str(customer["id"])

    async def create_user(self, token: str | None) -> str:
        """Create a user, with a card if there is a token."""
        created = await self.complete("create_user")
        user_id = str(created.response().user.user_id)
        if token:
            saved = await self.complete("save_card", user_id=user_id, token=token)
            self._cards[user_id] = saved.response().card.card_id
        return user_id

    async def complete(self, kind: str, user_id: str = "", token: str = "") -> Operation:
        """Run an operation to its final response while no kill is armed."""
        operation = self.new(kind, user_id=user_id, is_keyed=kind != "credit")
        if token:
            operation.request.payment_method_token = token
        await self.run(operation)
        return operation

    def new_retry(self, kind: str, job: Operation) -> Operation:
        """Return a retry of the open or last failed cycle of a job."""
        return self.new(
            kind,
            user_id=job.user_id,
            is_keyed=True,
            gives_up=kind == "retry_any",
            other_id=job.response().recurring_id,
        )

    def new(
        self,
        kind: str,
        *,
        user_id: str = "",
        is_keyed: bool | None = None,
        gives_up: bool = False,
        other_id: str = "",
        payment_id: str = "",
    ) -> Operation:
        """Return the next operation; what the arguments leave open is random."""
        number = len(self.operations) + 1
        target = self._target(kind, user_id, payment_id)
        target = replace(target, other_id=other_id) if other_id else target
        request = BUILDERS[kind](number, target)
        if is_keyed is None:
            is_keyed = not (kind in _UNKEYED and self._rng.random() < 0.35)
        if is_keyed:
            request.idempotency_key = f"{self.merchants.accounts.stripe}-{number}"
        operation = Operation(
            number,
            kind,
            target.caller,
            request,
            user_id=target.user_id,
            is_keyed=is_keyed,
            # A client that loses the new key would lock the business out for good.
            gives_up=gives_up and kind != "change_api_key",
            is_concurrent=is_keyed
            and kind != "change_api_key"
            and not kind.startswith("job")
            and self._rng.random() < 0.2,
            uses_json=self.uses_json and kind in json_client.KINDS and self._rng.random() < 0.5,
            began_at=self._environment.clock.seconds(),
        )
        self.operations.append(operation)
        return operation

    def _target(self, kind: str, user_id: str, payment_id: str) -> Target:
        merchants, shop = self.merchants, self.merchants.shop
        if kind in MODIFIES:
            assert merchants.modified is not None
            return Target(merchants.modified)
        if kind in ADDS:  # round robin
            merchants.new.append(merchants.new.pop(0))
            return Target(merchants.new[-1])
        if kind in KEYS:
            assert merchants.keyed is not None
            key_id = self._keys_to_revoke.pop() if kind == "revoke_api_key" else ""
            return Target(merchants.keyed, other_id=key_id)
        if kind in _SUSPENSIONS:
            return Target(shop, self._users_to_change[kind].pop())
        if kind == "change_api_key":
            assert merchants.rotator is not None
            return Target(merchants.rotator)
        if kind == "register":
            return Target(Caller(self._environment.admin), shop.business_id)
        if kind == "create_user":
            return Target(shop)
        if closes(kind):
            payment_id = payment_id or self.authorizations.take(kind)
            return Target(shop, self._users["payer"], payment_id=payment_id)
        return self._target_of_shop(kind, user_id)

    def _target_of_shop(self, kind: str, user_id: str) -> Target:
        shop = self.merchants.shop
        if kind in WALLET_KINDS:
            return self.wallets.target(kind, shop, user_id or self._users["payer"])
        if kind == "import_customer":
            user_id, customer_id = self._customers_to_import.pop()
            return Target(shop, user_id, other_id=customer_id)
        if kind in ("new_customer", "new_profile"):
            return Target(shop, self._users_without_customer.pop())
        if kind in self._refundable:
            return Target(shop, self._users["payer"], payment_id=self._refundable[kind])
        if kind == "remove_card":
            user_id, card_id = self._cards_to_remove.pop()
            return Target(shop, user_id, card_id=card_id)
        now = self._environment.clock.seconds()
        card_number = CARD_OF_REVIEW if kind == "save_reviewed" else ""
        user_id = user_id or self._users[_ROLES.get(kind, "payer")]
        card_id = self._cards.get(user_id, "")
        return Target(shop, user_id, now=now, card_number=card_number, card_id=card_id)

    def release(self, operation: Operation) -> None:
        """Start the operation's client, or both concurrent ones."""
        for _ in range(2 if operation.is_concurrent else 1):
            self._tasks.append(asyncio.ensure_future(self.run(operation)))

    async def run(self, operation: Operation) -> None:
        """Send the request until its final response, as the API reference recommends."""
        turn = self._rotation if operation.kind == "change_api_key" else asyncio.Lock()
        async with turn:
            pause = PAUSE_SECONDS
            while not await self._send(operation):
                await asyncio.sleep(pause)
                if operation.is_authorize and operation.is_unknown:
                    await self._environment.pass_settle_time()
                    operation.lost.append(LostResponse("", time.time(), "settle time"))
                    pause = PAUSE_SECONDS
                pause = min(1.5 * pause, PAUSE_SECONDS_MAX)
        if operation.is_job and operation.was_executed:
            self._environment.clock.advance(JOB_DUE_SECONDS)

    def _is_too_late(self, operation: Operation) -> bool:
        """Return whether a retry would be a new charge, so that the client has to give up."""
        age = self._environment.clock.seconds() - operation.began_at
        if operation.is_payment and not operation.is_keyed and age > UNANSWERED_SECONDS:
            operation.gives_up = True
            return True
        return False

    async def _send(self, operation: Operation) -> bool:
        """Send once; return whether the client is done."""
        credentials = operation.started_with = (
            operation.started_with or operation.caller.credentials
        )
        core = await self._environment.serving()
        if self._is_too_late(operation):
            return True
        sent_at = time.time()
        if not operation.lost:
            self._environment.note(f"{operation} sent to {core.name}", who="client")
        try:
            answer = await self._call(operation, credentials, core)
        except CoreError as error:
            self._environment.note(f"{operation} refused: {error.reason}", who="client")
            if error.reason == "INTERNAL":
                self.violations.append(
                    f"{operation.kind} {operation.number} received an internal error: "
                    f"{error.message}"
                )
            if final := _final_refusal(error):
                operation.final.append(final)
                return True
            operation.lost.append(LostResponse(core.name, sent_at, error.reason))
            if operation.gives_up:
                return True
            if operation.moves_wallet and not operation.is_keyed:
                return await self._found_in_records(operation)
            return False
        self._environment.note(f"{operation} succeeded", who="client")
        operation.final.append(FinalResponse("", answer.SerializeToString(deterministic=True)))
        if len(operation.final) == 1:
            self.wallets.executed(operation)
            self.authorizations.executed(operation)
        if operation.kind == "change_api_key":
            operation.caller.credentials = Credentials(answer.business_id, answer.api_key)
        return True

    async def _call(self, operation: Operation, credentials: Credentials, core: Core) -> Any:
        """Call once, over gRPC or JSON."""
        environment = self._environment
        if not operation.uses_json:
            return await environment.call(credentials, operation.request, core)
        return await json_client.call(
            environment.http,
            environment.adapter_url,
            credentials,
            operation.kind,
            operation.request,
        )

    async def _found_in_records(self, operation: Operation) -> bool:
        """Search the wallet history before a retry without a key, as the reference says."""
        while True:
            try:
                history = await self._environment.call(
                    operation.caller.credentials,
                    wallet_pb2.GetWalletHistoryRequest(
                        user_id=operation.user_id, env=TEST, limit=100
                    ),
                )
            except CoreError as error:
                if error.reason not in RETRYABLE:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            operation.was_found = any(
                each.description == operation.description for each in history.transactions
            )
            return operation.was_found

    def any(self) -> Operation:
        """Return an operation of a random kind."""
        kind = self.at_a_gateway(self._rng.choice(self._mix))
        if kind == "retry_any":
            jobs = [each for each in self.operations if each.is_job and each.was_executed]
            return self.new_retry(kind, self._rng.choice(jobs)) if jobs else self.new("job")
        kind = kind if self.wallets.can(kind) else "hold"
        kind = kind if self.authorizations.can(kind) else self.at_a_gateway("reserve")
        return self.new(kind, gives_up=self._rng.random() < GIVES_UP)

    def at_a_gateway(self, kind: str) -> str:
        """Return the kind for the gateway of this scenario, or for a random one."""
        goes_to_authorize = self._gateway == "authorize" or (
            not self._gateway and self._rng.random() < 0.4
        )
        return AT_AUTHORIZE.get(kind, kind) if goes_to_authorize else kind

    def active(self) -> list[asyncio.Task[None]]:
        """Return the clients without a final response."""
        return [task for task in self._tasks if not task.done()]

    async def replay(self) -> None:
        """Send every finished keyed request again, and some with another body, which is refused."""
        now = self._environment.clock.seconds()
        for operation in self.operations:
            is_expired = now - operation.began_at > DAY_SECONDS
            if is_expired or not operation.is_keyed or not operation.final:
                continue
            if not operation.final[0].keeps_key:
                continue
            await self._send(operation)
            self.replays += 1
            other = operation.with_other_body()
            if other is None or self._rng.random() < 0.5:
                continue
            got = "executed"
            try:
                await self._environment.call(operation.caller.credentials, other)
            except CoreError as error:
                if error.reason == "IDEMPOTENCY_KEY_REUSED":
                    continue
                got = error.reason
            answers = [each.reason or "success" for each in operation.final]
            self.violations.append(
                f"{operation.kind} {operation.number}: another body under its key was not refused"
                f" but {got}, after {answers}"
            )

    def trigger(self, trigger: Trigger) -> None:
        """Run a trigger's operation, and sometimes a random one beside it."""
        if trigger.kind == "new_customer" and not self._users_without_customer:
            return
        if trigger.kind in _SUSPENSIONS and not self._users_to_change[trigger.kind]:
            return
        if trigger.kind == "revoke_api_key" and not self._keys_to_revoke:
            return
        if trigger.kind == "remove_card" and not self._cards_to_remove:
            return
        if trigger.kind == "import_customer" and not self._customers_to_import:
            return
        must_retry = trigger.loses_request or trigger.needs_retry
        gives_up = self._rng.random() < GIVES_UP and not must_retry
        kind = trigger.kind if trigger.slows_gateway else self.at_a_gateway(trigger.kind)
        if not self.wallets.can(kind) or not self.authorizations.can(kind):
            return
        operation = self.new(kind, is_keyed=trigger.is_keyed, gives_up=gives_up)
        self.release(operation)
        if self._rng.random() < 0.5:
            self.release(self.any())

    def add_task(self, task: asyncio.Task[None]) -> None:
        """Own a task that runs beside the clients."""
        self._tasks.append(task)

    def raise_errors(self) -> None:
        """Raise the exception of a client that failed by itself."""
        for task in self._tasks:
            if task.done() and (error := task.exception()):
                raise error

    async def close(self) -> None:
        """Cancel the clients that still run."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _final_refusal(error: CoreError) -> FinalResponse | None:
    """Return the final response that an error is; None if the request is sent again."""
    if error.message.startswith("The gateway never told"):
        return FinalResponse(NEEDS_REVIEW, error.message)
    if error.reason in RETRYABLE:
        return None
    return FinalResponse(error.reason, (error.message, sorted(error.metadata.items())))
