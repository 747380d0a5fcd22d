"""Compares the gateways' books, the database rows and the responses that clients received."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.gateways.stripe.responses import REFUND_ID_KEY
from core.security.secrets import hash_api_key
from sandbox.authorize.calls import REFUNDED, get_settled_amount
from tests.prove.capture_checks import captures, closed_in_dashboard
from tests.prove.cycle_checks import cycle_differences, retry_differences
from tests.prove.gateway_cards import card_differences
from tests.prove.gateway_side import FOREIGN
from tests.prove.gateway_truth import (
    CHARGED,
    authorize_truths,
    differences,
    stripe_truths,
    wallet_differences,
)
from tests.prove.operations import OPEN_REASONS, FinalResponse, Operation
from tests.prove.wallet_checks import CHECKED_REASONS, holds, transfers
from tests.prove.wallet_checks import answers as wallet_answers

Row = dict[str, Any]
LOOKS_AGAIN_WITHIN = timedelta(minutes=20)
"""Longest pause after some looks that failed, as at a slow gateway."""


@dataclass(frozen=True, slots=True)
class Books:
    """The state after a scenario: rows by table, and the gateways' books."""

    rows: dict[str, list[Row]]
    gateway: dict[str, Any]
    authorize: dict[str, Any]

    def charges_count(self) -> int:
        """Return the number of charges in the gateways' books."""
        return sum(len(taken) for taken in _Charges.of(self).by_payment.values())

    def of(self, table: str, business_id: str) -> list[Row]:
        """Return a business's rows."""
        return [row for row in self.rows[table] if row["business_id"] == business_id]


def waiting(rows: Mapping[str, list[Row]], now: datetime) -> list[str]:
    """Return what is due and not done."""
    return [*_waiting(rows, now), *_waiting_holds(rows, now)]


def _waiting(rows: Mapping[str, list[Row]], now: datetime) -> Iterator[str]:
    """Charges, events of our payments, and occurrences."""
    for row in rows["payments"]:
        # A charged payment is asked for only while its events leave something open.
        soon = now + LOOKS_AGAIN_WITHIN if row["status"] in CHARGED else now
        is_open = row["status"] == "pending" or (row["status"] == "authorized" and row["closing"])
        if is_open or _is_due(row["look_at"], soon) or row["set_aside_at"]:
            yield f"{row['payment_id']} is {row['status']}, {row['attempt']}, due {row['look_at']}"
    for row in rows["refunds"]:
        if row["attempt"] or row["set_aside_at"]:
            yield f"{row['refund_id']} is {row['status']}, {row['attempt']}, due {row['look_at']}"
    known = {row["transaction_id"] for row in rows["payments"]}
    for row in rows["webhook_events"]:
        is_ours = row["transaction_id"] in known or row["needs_lookup"]
        if row["state"] == "waiting" and (is_ours or _is_due(row["look_at"], now)):
            yield f"the event {row['event_id']} ({row['type']}) waits"
    for row in rows["recurring_jobs"]:
        if _is_due(row["due_at"], now) or row["lease_owner"] or row["set_aside_at"]:
            yield f"{row['recurring_id']} is due since {row['due_at']}"


def _waiting_holds(rows: Mapping[str, list[Row]], now: datetime) -> Iterator[str]:
    for row in rows["wallet_holds"]:
        if _is_due(row["look_at"], now) or row["set_aside_at"]:
            yield f"{row['hold_id']} is {row['status']}, and expired at {row['expires_at']}"


def _is_due(moment: str | None, now: datetime) -> bool:
    return moment is not None and datetime.fromisoformat(moment) <= now


def is_open(rows: Mapping[str, list[Row]]) -> bool:
    """Return whether a payment waits for its customer or for a review."""
    statuses = {row["status"] for row in rows["payments"]}
    return bool(statuses & {"requires_action", "held_for_review"})


def violations(operations: Sequence[Operation], books: Books, shop_id: str) -> list[str]:
    """Return every violated invariant."""
    charges = _Charges.of(books)
    truths = [*stripe_truths(books.gateway), *authorize_truths(books.authorize)]
    rows = {name: books.of(name, shop_id) for name in books.rows}
    payments = rows["payments"]
    return [
        *_answers(operations),
        *_charges(charges, books, shop_id),
        *_payments(charges, books, shop_id),
        *_charged_once(operations, charges),
        *captures(operations, truths, payments, closed_in_dashboard(books.gateway)),
        *differences(truths, payments),
        *wallet_differences(truths, payments, rows["wallet_transactions"]),
        *cycle_differences(truths, rows),
        *retry_differences(operations, rows),
        *_movements(operations, books, shop_id),
        *_refunds(operations, books, shop_id),
        *ledger(books.rows),
        *holds(books.rows),
        *transfers(books.rows),
        *wallet_answers(operations, rows),
        *_users(operations, books, shop_id),
        *_suspensions(operations, books, shop_id),
        *_cards(operations, books, shop_id),
        *card_differences(books.gateway, rows["cards"]),
        *_profiles(operations, books, shop_id),
        *_businesses(operations, books),
        *_api_keys(operations, books),
        *_records(books),
    ]


def _answers(operations: Sequence[Operation]) -> Iterator[str]:
    """All final responses under a key are equal, once nobody can complete its charge."""
    for each in operations:
        final = [final for final in each.final if final.reason not in OPEN_REASONS]
        if final and not final[0].keeps_key:
            continue
        if len({(one.reason, str(one.content)) for one in final}) > 1:
            yield f"{each} got different responses: {[_short(final) for final in each.final]}"


def _short(final: FinalResponse) -> str:
    return final.reason or f"success {hash(final.content) & 0xFFFF:x}"


@dataclass(frozen=True, slots=True)
class _Charges:
    """The successful charges in the gateways' books."""

    by_payment: Mapping[str, list[Row]]
    by_description: Mapping[str, list[Row]]

    @classmethod
    def of(cls, books: Books) -> "_Charges":
        by_payment: defaultdict[str, list[Row]] = defaultdict(list)
        by_description: defaultdict[str, list[Row]] = defaultdict(list)
        for charge in (*_taken_by_stripe(books.gateway), *_taken_by_authorize(books.authorize)):
            by_payment[charge["payment_id"]].append(charge)
            by_description[charge["description"]].append(charge)
        return cls(by_payment, by_description)


def _taken_by_stripe(gateway: dict[str, Any]) -> Iterator[Row]:
    intents = {intent["id"]: intent for intent in gateway.get("payment_intents", [])}
    for charge in gateway.get("charges", []):
        if charge["status"] == "succeeded" and charge["captured"]:
            intent = intents[charge["payment_intent"]]
            if intent["description"] == FOREIGN:
                continue
            yield {
                "transaction_id": intent["id"],
                "payment_id": intent["metadata"].get("payment_id", ""),
                "description": intent["description"] or "",
                "amount": charge["amount_captured"],
            }


def _taken_by_authorize(gateway: dict[str, Any]) -> Iterator[Row]:
    """Without voided ones, which never settle."""
    for transaction in gateway.get("transactions", []):
        if transaction["status"] in ("capturedPendingSettlement", "settledSuccessfully"):
            yield {
                "transaction_id": transaction["id"],
                "payment_id": transaction["invoice_number"],
                "description": transaction["description"],
                "amount": int(get_settled_amount(transaction) * 100),
            }


def _charges(charges: _Charges, books: Books, shop_id: str) -> Iterator[str]:
    """Every charge at a gateway is one charged payment."""
    rows = {row["payment_id"]: row for row in books.of("payments", shop_id)}
    for payment_id, taken in charges.by_payment.items():
        row = rows.get(payment_id)
        if row is None:
            yield f"double charge: the gateway charged {payment_id!r}, which we do not know"
            continue
        if len(taken) > 1:
            yield f"double charge: {payment_id} was charged {len(taken)} times"
        if row["status"] not in CHARGED or row["transaction_id"] != taken[0]["transaction_id"]:
            yield (
                f"lost: the gateway charged {payment_id}, which is {row['status']} here"
                f" (attempt {row['attempt']}, {row['description']})"
            )
        elif row["amount_minor"] != taken[0]["amount"]:
            yield f"{payment_id} was charged another amount"


def _payments(charges: _Charges, books: Books, shop_id: str) -> Iterator[str]:
    """Every payment is final, and a charged one has a charge at its gateway."""
    for row in books.of("payments", shop_id):
        is_charged = row["payment_id"] in charges.by_payment
        if row["status"] in CHARGED and not is_charged:
            yield f"{row['payment_id']} succeeded without a charge at the gateway"
        # Without a charge and with an expired key it needs manual review: nothing is lost.
        is_forgotten = row["status"] == "needs_review" and not is_charged
        if row["status"] in ("pending", "needs_review") and not is_forgotten:
            yield (
                f"stuck: {row['payment_id']} ({row['description']}) is {row['status']},"
                f" attempt {row['attempt']}, after {row['checks']} checks"
            )


def _charged_once(operations: Sequence[Operation], charges: _Charges) -> Iterator[str]:
    """Every payment operation was charged at most once, and as its client was answered."""
    for each in operations:
        if not each.is_payment or each.is_reservation:
            continue
        taken = charges.by_description.get(each.description, [])
        if len(taken) > 1:
            yield f"double charge: {each} was charged {len(taken)} times"
        if each.was_executed:
            transaction_id = each.response().transaction_id
            if transaction_id not in {charge["transaction_id"] for charge in taken}:
                yield f"lost: {each} got {transaction_id}, which was never charged"
        elif each.was_refused and taken and not each.may_complete:
            yield f"{each} was refused with {each.final[0].reason}, and charged"


def _movements(operations: Sequence[Operation], books: Books, shop_id: str) -> Iterator[str]:
    """Every wallet movement belongs to one operation, as its client was answered."""
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    for row in books.of("wallet_transactions", shop_id):
        if row["reason"] not in CHECKED_REASONS:
            rows[row["description"] or ""].append(row)
    for each in operations:
        if each.moves_wallet:
            yield from _movement_of(each, rows.pop(each.description, []))
    others = {each.description for each in operations if each.is_payment or each.is_job}
    for description in rows.keys() - others:
        yield f"a wallet moved for {description!r}, which no client requested"


def _movement_of(operation: Operation, made: Sequence[Row]) -> Iterator[str]:
    if len(made) > 1:
        yield f"{operation} moved money {len(made)} times"
    if operation.was_executed and not made:
        yield f"lost: {operation} succeeded, and no money moved"
    if operation.was_refused and made:
        yield f"{operation} was refused with {operation.final[0].reason}, and money moved"
    if made and operation.final and operation.final[0].is_success:
        response = operation.response()
        balance = response.new_balance.units * 100 + response.new_balance.nanos // 10**7
        written = (made[0]["transaction_id"], made[0]["balance_after_minor"])
        if (response.transaction_id, balance) != written:
            yield f"{operation} got another movement than was made"


def _refunds(operations: Sequence[Operation], books: Books, shop_id: str) -> Iterator[str]:
    """Every refund is made once or not at all, as its row and its client were told."""
    rows = {row["refund_id"]: row for row in books.of("refunds", shop_id)}
    made = Counter(_refunds_made(books))
    transactions = {row["transaction_id"] for row in books.of("payments", shop_id)}
    for refund_id, row in rows.items():
        is_void = row["is_whole"] and row["gateway_refund_id"] in transactions
        expected = 1 if row["status"] == "succeeded" and not is_void else 0
        if made.pop(refund_id, 0) != expected:
            yield f"lost: {refund_id} is {row['status']}, and its gateway says otherwise"
    for refund_id, count in made.items():
        yield f"double refund: the gateway made {refund_id} {count} times, which we do not know"
    for each in operations:
        if not each.is_refund:
            continue
        own = [row for row in rows.values() if row["description"] == each.description]
        counted = [row for row in own if row["status"] in ("pending", "succeeded")]
        if len(counted) > 1:
            yield f"double refund: {each} was refunded {len(counted)} times"
        if each.was_executed and not any(row["gateway_refund_id"] for row in own):
            yield f"lost: {each} was answered, and no refund was made"


def _refunds_made(books: Books) -> Iterator[str]:
    """Yield our id of each refund in the gateways' books that moves money."""
    for each in books.gateway.get("refunds", []):
        if each["metadata"].get(REFUND_ID_KEY) and each["status"] not in ("failed", "canceled"):
            yield each["metadata"][REFUND_ID_KEY]
    for each in books.authorize.get("transactions", []):
        is_refund = each["type"] == "refundTransaction" and each["status"] in REFUNDED
        if is_refund and each["invoice_number"].startswith("REF-"):
            yield each["invoice_number"]


def ledger(rows: Mapping[str, list[Row]]) -> Iterator[str]:
    """Postings of a transaction sum to zero, and those of an account to its balance."""
    sums: Counter[tuple[str, str]] = Counter()
    accounts: Counter[tuple[str, str]] = Counter()
    sides: Counter[tuple[str, str]] = Counter()
    for row in rows["postings"]:
        transaction = (row["business_id"], row["transaction_id"])
        sums[transaction] += row["amount_minor"]
        sides[transaction] += 1
        accounts[(row["business_id"], row["account"])] += row["amount_minor"]
    yield from (f"the postings of {key[1]} sum to {total}" for key, total in sums.items() if total)
    by_wallet: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows["wallet_transactions"]:
        by_wallet[(row["business_id"], row["wallet_id"])].append(row)
        if sides[(row["business_id"], row["transaction_id"])] != 2:
            yield f"the postings of {row['transaction_id']} are not two"
    for wallet in rows["wallets"]:
        key = (wallet["business_id"], wallet["wallet_id"])
        if accounts[key] != wallet["balance_minor"]:
            yield f"the postings of {key[1]} say {accounts[key]}, not {wallet['balance_minor']}"
        yield from _history_of(wallet, by_wallet.pop(key, []))
    for _, wallet_id in by_wallet:
        yield f"the movements of {wallet_id} have no wallet"


def _history_of(wallet: Row, movements: Sequence[Row]) -> Iterator[str]:
    """The movements of a wallet, in order, lead to its balance."""
    name, balance = f"the movements of {wallet['wallet_id']}", 0
    in_order = sorted(movements, key=lambda row: int(row["version"]))
    for version, row in enumerate(in_order, start=1):
        balance += row["amount_minor"] * (1 if row["type"] == "credit" else -1)
        if (row["version"], row["balance_after_minor"]) != (version, balance):
            yield f"{name} do not follow at {row['transaction_id']}"
    if (wallet["version"], wallet["balance_minor"]) != (len(movements), balance):
        yield f"{name} say {balance}, not {wallet['balance_minor']}"


def _users(operations: Sequence[Operation], books: Books, shop_id: str) -> Iterator[str]:
    """One user for each create_user operation."""
    users = {row["user_id"]: row for row in books.of("users", shop_id)}
    made = Counter(row["email"] for row in users.values())
    for each in operations:
        if each.kind != "create_user":
            continue
        count = made.pop(f"op{each.number}@example.com", 0)
        if count > 1 or (each.was_executed and not count):
            yield f"{each} made {count} users"
        if each.was_executed and each.response().user.user_id not in users:
            yield f"lost: the user of {each} does not exist"
    if made:
        yield f"users that no client requested: {sorted(made)}"


def _suspensions(operations: Sequence[Operation], books: Books, shop_id: str) -> Iterator[str]:
    """A user is as the last change of them that was executed says; each is changed in turn."""
    since = {row["user_id"]: row["suspended_at"] for row in books.of("users", shop_id)}
    wanted = {
        each.user_id: each
        for each in operations
        if each.kind in ("suspend_user", "reactivate_user")
    }
    for each in wanted.values():
        is_suspended = since[each.user_id] is not None
        if each.was_executed and is_suspended is not (each.kind == "suspend_user"):
            yield f"lost: {each} succeeded, and the user is not so"


def _cards(operations: Sequence[Operation], books: Books, shop_id: str) -> Iterator[str]:
    """One customer at the gateway for each user, one card for each operation that saved one."""
    wanted, different, certain = _saved_cards(operations)
    # A removal that nobody repeats may have reached the gateway only.
    half_removed = Counter(
        each.user_id for each in operations if each.kind == "remove_card" and not each.was_executed
    )
    cards = Counter(row["user_id"] for row in _of_gateway("stripe", books, "cards", shop_id))
    customers = books.gateway.get("customers", [])
    ours = [each for each in customers if "user_id" in each["metadata"]]
    made = Counter(customer["metadata"]["user_id"] for customer in ours)
    attached = Counter(method["customer"] for method in books.gateway.get("payment_methods", []))
    for user_id, count in made.items():
        if count > 1:
            yield f"the gateway has {count} customers of {user_id}"
    for row in _of_gateway("stripe", books, "gateway_customers", shop_id):
        user_id, count = row["user_id"], attached[row["customer_id"]]
        if count > wanted[user_id]:
            yield f"{user_id} requested {wanted[user_id]} cards, and the gateway has {count}"
        if cards[user_id] > min(count + half_removed[user_id], different[user_id]):
            yield f"{user_id} has cards that no client requested or the gateway does not have"
    for user_id, count in certain.items():
        if cards[user_id] < count:
            yield f"lost: {user_id} saved {count} cards and has {cards[user_id]}"


def _saved_cards(
    operations: Sequence[Operation],
) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Return how many cards each user saved, and how many different ones there are at most and at
    least: a card that is saved again is one card.
    """
    saved: Counter[str] = Counter()
    most: defaultdict[str, set[str]] = defaultdict(set)
    least: defaultdict[str, set[str]] = defaultdict(set)
    removed: Counter[str] = Counter()
    surely_removed: Counter[str] = Counter()
    for each in operations:
        if each.kind in ("save_card", "new_customer", "set_up_card"):
            saved[each.user_id] += 1
            most[each.user_id].add(each.request.payment_method_token)
            if each.was_executed:
                least[each.user_id].add(each.request.payment_method_token)
        elif each.kind == "import_customer":  # with one card
            saved[each.user_id] += 1
            most[each.user_id].add(each.request.customer_id)
            if each.was_executed:
                least[each.user_id].add(each.request.customer_id)
        elif each.kind == "remove_card":
            removed[each.user_id] += 1
            surely_removed[each.user_id] += each.was_executed
    saved.subtract(surely_removed)
    return (
        saved,
        Counter({user: len(cards) - surely_removed[user] for user, cards in most.items()}),
        Counter({user: len(cards) - removed[user] for user, cards in least.items()}),
    )


def _of_gateway(gateway: str, books: Books, table: str, shop_id: str) -> list[Row]:
    """Return the rows of a gateway."""
    return [row for row in books.of(table, shop_id) if row["gateway"] == gateway]


def _profiles(operations: Sequence[Operation], books: Books, shop_id: str) -> Iterator[str]:
    """One profile at Authorize.Net for each user, with each of their cards once."""
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for each in operations:
        if each.kind in ("save_authorize", "save_reviewed", "new_profile"):
            wanted[each.user_id].add(each.request.payment_profile.card_number)
            response = each.response() if each.was_executed else None
            cards = {row["gateway_card_id"] for row in books.of("cards", shop_id)}
            if response is not None and response.payment_profile_id not in cards:
                yield f"lost: the card of {each} does not exist"
    profiles = Counter(each["merchantCustomerId"] for each in books.authorize.get("customers", []))
    yield from (f"{user} has {count} profiles" for user, count in profiles.items() if count > 1)
    saved = Counter(each["customer"] for each in books.authorize.get("cards", []))
    here = Counter(row["user_id"] for row in _of_gateway("authorize", books, "cards", shop_id))
    for row in _of_gateway("authorize", books, "gateway_customers", shop_id):
        user_id = row["user_id"]
        counts = (here[user_id], saved[row["customer_id"]], len(wanted[user_id]))
        if not counts[0] <= counts[1] <= counts[2]:
            yield f"{user_id} has {counts} cards here, at Authorize.Net, and requested"


def _businesses(operations: Sequence[Operation], books: Books) -> Iterator[str]:
    """A changed value is one that a client set, and a rotated key opens."""
    rows = {row["business_id"]: row for row in books.rows["businesses"]}
    names = Counter(row["name"] for row in rows.values())
    for kind, column, prefix in (
        ("update_user", ("users", "name"), "op "),
        ("modify_business", ("businesses", "name"), "op "),
        ("modify_stripe", ("stripe_credentials", "public_key"), "pk_test_"),
        ("modify_authorize", ("authorize_credentials", "api_login_id"), "login"),
    ):
        yield from _has_a_set_value(operations, books, kind, column, prefix)
    for each in operations:
        if each.kind == "register":
            count = names[each.request.new_business.name]
            if count > 1 or (each.was_executed and not count):
                yield f"register {each.number} made {count} businesses"
        if each.kind == "change_api_key" and each.was_refused:
            yield f"change_api_key {each.number} was refused with {each.final[0].reason}"
        if each.kind == "change_api_key" and each.was_executed:
            current = hash_api_key(each.caller.credentials.api_key)
            if rows[each.caller.business_id]["api_key_hash"] != current:
                yield f"lost: change_api_key {each.number} returned a key that does not open"


def _api_keys(operations: Sequence[Operation], books: Books) -> Iterator[str]:
    """A key is created once, and a revoked one has ended."""
    for each in operations:
        if each.kind == "create_api_key":
            made = [row for row in books.rows["api_keys"] if row["name"] == each.request.name]
            hashes = [row["key_hash"] for row in made]
            if len(made) > 1 or (
                each.was_executed and hashes != [hash_api_key(each.response().api_key)]
            ):
                yield f"create_api_key {each.number} made {len(made)} keys, or another one"
        if each.kind == "revoke_api_key" and each.was_executed:
            ended = {row["key_id"] for row in books.rows["api_keys"] if row["revoked_at"]}
            if each.request.key_id not in ended:
                yield f"lost: revoke_api_key {each.number} left its key working"


def _has_a_set_value(
    operations: Sequence[Operation],
    books: Books,
    kind: str,
    column: tuple[str, str],
    prefix: str,
) -> Iterator[str]:
    """After a successful change, the value is one of those that clients set."""
    changes = [each for each in operations if each.kind == kind]
    table, name = column
    for each in changes:
        if not each.was_executed:
            continue
        rows = [
            row
            for row in books.rows[table]
            if row["business_id"] == each.caller.business_id
            and (table != "users" or row["user_id"] == each.user_id)
        ]
        same = {
            f"{prefix}{other.number}"
            for other in changes
            if other.caller.business_id == each.caller.business_id
        }
        if not rows or rows[0][name] not in same:
            yield f"lost: {kind} {each.number} succeeded, and {name} is {[r[name] for r in rows]}"
            return


def _records(books: Books) -> Iterator[str]:
    """A record has no answer only if its payment or refund failed, or the payment needs review.

    That of retry_recurring is answered by the call, so that one is left of a client that gave up.
    """
    owners = {(row["business_id"], row["payment_id"]): row for row in books.rows["payments"]}
    owners |= {(row["business_id"], row["refund_id"]): row for row in books.rows["refunds"]}
    for row in books.rows["idempotency_records"]:
        if row["sealed_answer"] is None and row["payment_id"] is not None:
            payment = owners[(row["business_id"], row["payment_id"])]
            own_key = payment["idempotency_key"] or ""
            # A refused capture or void has its own key, and leaves the payment authorized.
            is_refused = payment["status"] == "authorized" and row["key"] != f"key:{own_key}"
            is_open = is_refused or payment["status"] in ("failed", "needs_review")
            if not is_open and not own_key.startswith("§"):
                yield f"the record of {row['key']} has no answer; its payment {payment['status']}"
