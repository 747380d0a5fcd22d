"""Checks that the tables of a variant's database have every debit exactly once."""

from collections import Counter
from collections.abc import Mapping

from tests.bench.books import FUNDED_CENTS, Books
from tests.bench.calls import CHARGED_CENTS
from tests.bench.postgresql.server import query

_WALLETS = """
    SELECT wallet_id, balance_minor, version,
        (SELECT count(*) FROM wallet_transactions made
            WHERE made.business_id = wallet.business_id AND made.wallet_id = wallet.wallet_id
            AND made.type = 'debit'),
        (SELECT coalesce(sum(amount_minor), 0) FROM postings side
            WHERE side.business_id = wallet.business_id AND side.account = wallet.wallet_id)
    FROM wallets wallet
"""
_UNBALANCED = """
    SELECT transaction_id FROM wallet_transactions LEFT JOIN postings side
        USING (business_id, transaction_id)
    GROUP BY business_id, transaction_id
    HAVING count(side.account) <> 2 OR sum(side.amount_minor) <> 0
"""
_ALL_POSTINGS = "SELECT coalesce(sum(amount_minor), 0) FROM postings"


async def read_ledger(
    database_url: str, wallets: Mapping[str, str], acknowledged: Counter[str]
) -> Books:
    """Compare balances, history rows and postings with the debits that were acknowledged.

    `wallets` maps each wallet to its group. `acknowledged` counts by group, because pgbench does
    not report the wallets that it debited.
    """
    differences: list[str] = []
    debits: Counter[str] = Counter()
    rows = cents_left = 0
    for wallet_id, balance, version, debited, posted in await query(database_url, _WALLETS):
        debits[wallets[wallet_id]] += debited
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
        for group in sorted(set(wallets.values()))
        if debits[group] != acknowledged[group]
    ]
    differences += [
        f"{transaction_id} has not two postings that sum to zero"
        for (transaction_id,) in await query(database_url, _UNBALANCED)
    ]
    ((total,),) = await query(database_url, _ALL_POSTINGS)
    if total != 0:
        differences.append(f"all postings sum to {total}, not to zero")
    return Books(len(wallets), acknowledged.total(), rows, cents_left, differences)
