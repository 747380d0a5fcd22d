"""The wallets that are debited: opened before a run, and compared with the books after it."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.type.money_pb2 import Money

from nivisco.payments.v1 import wallet_pb2
from rpc.client import CoreClient
from rpc.metadata import Credentials
from tests.bench.size import Size
from tests.core.running import Business, create_admin, create_user, register

FUNDED_CENTS = 100_000_000
CHARGED_CENTS = 1
HOT, MANY, ONE = "one hot wallet", "wallets of many businesses", "wallets of one business"
"""The groups of wallets."""
_OPENED_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Account:
    """A user with a wallet."""

    credentials: Credentials
    user_id: str
    wallet_id: str


@dataclass(frozen=True, slots=True)
class Books:
    """What the books hold, and their differences to the responses."""

    summary: str
    differences: list[str]

    @property
    def balance(self) -> bool:
        """Whether they hold what the responses said, once."""
        return not self.differences

    @property
    def verdict(self) -> str:
        """Return one line about them."""
        if self.balance:
            return f"{self.summary}: they balance exactly"
        return f"{self.summary}: THEY DO NOT BALANCE: {'; '.join(self.differences[:5])}"


async def open_accounts(client: CoreClient, size: Size) -> dict[str, list[Account]]:
    """Register businesses and open a funded wallet for each user; return them by group."""
    names = [f"shop{number}" for number in range(size.businesses)]
    admin = await create_admin(client)
    shops = [await register(client, name, admin) for name in names]
    share = size.wallets // size.businesses
    at_once = asyncio.Semaphore(_OPENED_AT_ONCE)
    return {
        HOT: await _open(shops[:1], at_once),
        MANY: await _open(shops * share, at_once),
        ONE: await _open(shops[:1] * size.wallets, at_once),
    }


async def _open(owners: Sequence[Business], at_once: asyncio.Semaphore) -> list[Account]:
    async def open_one(owner: Business) -> Account:
        async with at_once:
            user_id = await create_user(owner)
            amount = Money(units=FUNDED_CENTS // 100)
            await owner.call(wallet_pb2.AddWalletFundsRequest(user_id=user_id, amount=amount))
            answer = await owner.call(wallet_pb2.GetUserWalletRequest(user_id=user_id))
            return Account(owner.credentials, user_id, answer.wallet.wallet_id)

    return await asyncio.gather(*(open_one(owner) for owner in owners))


WALLETS = """
    SELECT wallet_id, balance_minor, version,
        (SELECT count(*) FROM wallet_transactions made
            WHERE made.business_id = wallet.business_id AND made.wallet_id = wallet.wallet_id
            AND made.type = 'debit'),
        (SELECT coalesce(sum(amount_minor), 0) FROM postings side
            WHERE side.business_id = wallet.business_id AND side.account = wallet.wallet_id)
    FROM wallets wallet
"""
UNBALANCED = """
    SELECT transaction_id FROM wallet_transactions LEFT JOIN postings side
        USING (business_id, transaction_id)
    GROUP BY business_id, transaction_id
    HAVING count(side.account) <> 2 OR sum(side.amount_minor) <> 0
"""
ALL_POSTINGS = "SELECT coalesce(sum(amount_minor), 0) FROM postings"


def compare_books(
    wallets: Sequence[Sequence[int]],
    unbalanced: Sequence[Sequence[str]],
    all_postings: int,
    groups: Mapping[str, str],
    acknowledged: Counter[str],
) -> Books:
    """Compare balances, history rows and postings with the debits that were acknowledged.

    The first three are the rows of the queries above. `groups` maps each wallet to its group;
    `acknowledged` counts by group, because pgbench does not report the wallets that it debited.
    """
    differences: list[str] = []
    debits: Counter[str] = Counter()
    rows = cents_left = 0
    for wallet_id, balance, version, debited, posted in wallets:
        debits[groups[str(wallet_id)]] += debited
        expected = FUNDED_CENTS - debited * CHARGED_CENTS
        if not balance == posted == expected:
            differences.append(
                f"{wallet_id} holds {balance} cents and postings of {posted} in place of {expected}"
            )
        if version != debited + 1:
            differences.append(f"{wallet_id} has version {version}, not {debited + 1}")
        rows += debited + 1
        cents_left += balance
    differences += [
        f"{debits[group]} debits of {group} in place of {acknowledged[group]}"
        for group in sorted(set(groups.values()))
        if debits[group] != acknowledged[group]
    ]
    differences += [
        f"{transaction_id} has not two postings that sum to zero"
        for (transaction_id,) in unbalanced
    ]
    if all_postings != 0:
        differences.append(f"all postings sum to {all_postings}, not to zero")
    summary = (
        f"{acknowledged.total():,} debits of {len(groups):,} wallets, {rows:,} history rows, "
        f"{cents_left:,} cents left"
    )
    return Books(summary, differences)
