"""SQL of saved cards and the users' customers at the gateways."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime

from sqlalchemy import bindparam, delete, false, insert, select, text, update

from core.database.schema import businesses, cards, gateway_customers, removed_cards
from core.database.transactions import Database, Transaction
from core.gateways.gateway import SavedCard
from core.ids import new_card_id


@dataclass(frozen=True, slots=True)
class Card:
    """A saved card as stored."""

    card_id: str
    user_id: str
    gateway: str
    env: str
    customer_id: str
    gateway_card_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    is_primary: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RemovedCard:
    """A card that was removed, as it was then."""

    card: Card
    removed_at: datetime


_COLUMNS = tuple(cards.c[each.name] for each in fields(Card))
_OF_BUSINESS = select(*_COLUMNS).where(cards.c.business_id == bindparam("business_id"))
_BY_ID = _OF_BUSINESS.where(cards.c.card_id == bindparam("card_id"))
_OF_USER = _OF_BUSINESS.where(
    cards.c.user_id == bindparam("user_id"), cards.c.env == bindparam("env")
)
_NEWEST_OF_USER = _OF_USER.order_by(cards.c.created_at.desc(), cards.c.card_id.desc())
_REMOVED = select(
    *(
        false().label(each.name) if each.name == "is_primary" else removed_cards.c[each.name]
        for each in fields(Card)
    )
).where(removed_cards.c.business_id == bindparam("business_id"))
_REMOVED_BY_ID = _REMOVED.where(removed_cards.c.card_id == bindparam("card_id"))
_REMOVED_BY_GATEWAY_ID = _REMOVED.where(
    removed_cards.c.env == bindparam("env"),
    removed_cards.c.gateway == bindparam("gateway"),
    removed_cards.c.gateway_card_id == bindparam("gateway_card_id"),
)
_BY_FINGERPRINT = _OF_USER.where(
    cards.c.gateway == bindparam("gateway"),
    cards.c.customer_id == bindparam("customer_id"),
    cards.c.fingerprint == bindparam("fingerprint"),
).order_by(cards.c.created_at.desc(), cards.c.card_id.desc())
_IS_PRIMARY = text("cards.is_primary")
"""As the index uq_cards_one_primary has it, which SQLite knows by these words only."""
_PRIMARY = _OF_USER.where(cards.c.gateway == bindparam("gateway"), _IS_PRIMARY)


async def cards_of_user(
    reader: Database | Transaction, *, business_id: str, user_id: str, env: str
) -> list[Card]:
    """Return the user's cards of an environment, newest first.

    Read in a transaction, or without one.
    """
    rows = await reader.fetch(
        _NEWEST_OF_USER, {"business_id": business_id, "user_id": user_id, "env": env}
    )
    return [Card(*row) for row in rows]


async def primary_card(
    reader: Database | Transaction, *, business_id: str, user_id: str, env: str, gateway: str
) -> Card | None:
    """Return the card that a charge at the gateway uses, or None.

    Read in a transaction, or without one.
    """
    key = {"business_id": business_id, "user_id": user_id, "env": env, "gateway": gateway}
    row = (await reader.fetch(_PRIMARY, key)).one_or_none()
    return Card(*row) if row else None


async def card_by_id(transaction: Transaction, *, business_id: str, card_id: str) -> Card | None:
    """Return the business's card, or None."""
    row = await transaction.find(_BY_ID, business_id=business_id, card_id=card_id)
    return Card(*row) if row else None


async def card_by_gateway_id(
    transaction: Transaction, *, business_id: str, env: str, gateway: str, gateway_card_id: str
) -> Card | None:
    """Return the business's card with this id at the gateway, or None."""
    row = (
        await transaction.connection.execute(
            select(*_COLUMNS).where(
                cards.c.business_id == business_id,
                cards.c.env == env,
                cards.c.gateway == gateway,
                cards.c.gateway_card_id == gateway_card_id,
            )
        )
    ).one_or_none()
    return Card(*row) if row else None


async def removed_card(transaction: Transaction, *, business_id: str, card_id: str) -> Card | None:
    """Return the business's removed card, or None."""
    row = await transaction.find(_REMOVED_BY_ID, business_id=business_id, card_id=card_id)
    return Card(*row) if row else None


async def was_removed(
    transaction: Transaction, *, business_id: str, env: str, gateway: str, gateway_card_id: str
) -> bool:
    """Return whether a card with this id at the gateway was removed."""
    row = (
        await transaction.connection.execute(
            _REMOVED_BY_GATEWAY_ID.limit(1),
            {
                "business_id": business_id,
                "env": env,
                "gateway": gateway,
                "gateway_card_id": gateway_card_id,
            },
        )
    ).one_or_none()
    return row is not None


async def users_of_cards(
    transaction: Transaction,
    *,
    business_id: str,
    env: str,
    gateway: str,
    gateway_card_ids: Sequence[str],
) -> dict[str, str]:
    """Return the users of those cards that are stored, by their ids at the gateway."""
    rows = await transaction.connection.execute(
        select(cards.c.gateway_card_id, cards.c.user_id).where(
            cards.c.business_id == business_id,
            cards.c.env == env,
            cards.c.gateway == gateway,
            cards.c.gateway_card_id.in_(gateway_card_ids),
        )
    )
    return {row.gateway_card_id: row.user_id for row in rows}


async def removed_among(
    transaction: Transaction,
    *,
    business_id: str,
    env: str,
    gateway: str,
    gateway_card_ids: Sequence[str],
) -> dict[str, RemovedCard]:
    """Return those cards that were removed, by their ids at the gateway."""
    rows = await transaction.connection.execute(
        _REMOVED.add_columns(removed_cards.c.removed_at)
        .where(
            removed_cards.c.env == env,
            removed_cards.c.gateway == gateway,
            removed_cards.c.gateway_card_id.in_(gateway_card_ids),
        )
        .order_by(removed_cards.c.removed_at),
        {"business_id": business_id},
    )
    found = (RemovedCard(Card(*row[:-1]), row[-1]) for row in rows)
    return {each.card.gateway_card_id: each for each in found}


async def remove_again(
    transaction: Transaction, *, business_id: str, env: str, gateway: str, gateway_card_id: str
) -> bool:
    """Set the time of a card's removal to now; return whether one was removed before."""
    result = await transaction.connection.execute(
        update(removed_cards)
        .where(
            removed_cards.c.business_id == business_id,
            removed_cards.c.env == env,
            removed_cards.c.gateway == gateway,
            removed_cards.c.gateway_card_id == gateway_card_id,
        )
        .values(removed_at=transaction.now)
    )
    return result.rowcount > 0


async def forget_removal(
    transaction: Transaction, *, business_id: str, removal: RemovedCard
) -> bool:
    """Delete a removed card, which is to be stored again; return False if it was removed again."""
    result = await transaction.connection.execute(
        delete(removed_cards).where(
            removed_cards.c.business_id == business_id,
            removed_cards.c.env == removal.card.env,
            removed_cards.c.gateway == removal.card.gateway,
            removed_cards.c.gateway_card_id == removal.card.gateway_card_id,
            removed_cards.c.removed_at <= removal.removed_at,
        )
    )
    return result.rowcount > 0


async def remove_card(transaction: Transaction, *, business_id: str, card: Card) -> None:
    """Move a card to the removed ones."""
    values = asdict(card)
    del values["is_primary"]
    await transaction.connection.execute(
        delete(cards).where(cards.c.business_id == business_id, cards.c.card_id == card.card_id)
    )
    await transaction.connection.execute(
        insert(removed_cards).values(business_id=business_id, removed_at=transaction.now, **values)
    )


async def keep_card(
    transaction: Transaction,
    *,
    business_id: str,
    user_id: str,
    env: str,
    gateway: str,
    customer_id: str,
    saved: SavedCard,
    replaces: Card | None,
    removed: Sequence[Card] = (),
    restores: Card | None = None,
) -> Card:
    """Store a card that is not primary, or the new expiry date of a known card.

    The row of a card that it `replaces`, if nobody changed it meanwhile, becomes that of the card;
    likewise that of the customer's card with the same number, unless that expires later. Cards
    that are `removed` at the gateway do not count. A new row has the id of the card that it
    `restores`.
    """
    known = await card_by_gateway_id(
        transaction,
        business_id=business_id,
        env=env,
        gateway=gateway,
        gateway_card_id=saved.gateway_card_id,
    )
    if known is not None:
        return await set_expiry(
            transaction,
            business_id=business_id,
            card=known,
            exp_month=saved.exp_month,
            exp_year=saved.exp_year,
        )
    same = saved.fingerprint and await _card_by_fingerprint(
        transaction,
        business_id=business_id,
        user_id=user_id,
        env=env,
        gateway=gateway,
        customer_id=customer_id,
        fingerprint=saved.fingerprint,
    )
    if same and same.gateway_card_id not in {each.gateway_card_id for each in removed}:
        if (same.exp_year, same.exp_month) > (saved.exp_year, saved.exp_month):
            return same
        replaces = same
    if replaces is not None:
        replaced = await _replace_card(
            transaction,
            business_id=business_id,
            card=replaces,
            customer_id=customer_id,
            saved=saved,
        )
        if replaced is not None:
            return replaced
    card = Card(
        card_id=restores.card_id if restores else new_card_id(),
        user_id=user_id,
        gateway=gateway,
        env=env,
        customer_id=customer_id,
        gateway_card_id=saved.gateway_card_id,
        brand=saved.brand,
        last4=saved.last4,
        exp_month=saved.exp_month,
        exp_year=saved.exp_year,
        is_primary=False,
        created_at=restores.created_at if restores else transaction.now,
    )
    await transaction.connection.execute(
        insert(cards).values(business_id=business_id, fingerprint=saved.fingerprint, **asdict(card))
    )
    return card


async def _card_by_fingerprint(transaction: Transaction, **wanted: str) -> Card | None:
    """Return the newest card of a customer with a fingerprint, or None."""
    rows = await transaction.connection.execute(_BY_FINGERPRINT.limit(1), wanted)
    row = rows.one_or_none()
    return Card(*row) if row else None


async def set_expiry(
    transaction: Transaction, *, business_id: str, card: Card, exp_month: int, exp_year: int
) -> Card:
    """Store a card's expiry date and return the card."""
    await transaction.connection.execute(
        update(cards)
        .where(cards.c.business_id == business_id, cards.c.card_id == card.card_id)
        .values(exp_month=exp_month, exp_year=exp_year)
    )
    return replace(card, exp_month=exp_month, exp_year=exp_year)


async def set_details(
    transaction: Transaction, *, business_id: str, card: Card, saved: SavedCard
) -> None:
    """Store a card's details as its gateway has them now."""
    await transaction.connection.execute(
        update(cards)
        .where(
            cards.c.business_id == business_id,
            cards.c.card_id == card.card_id,
            cards.c.gateway_card_id == saved.gateway_card_id,
        )
        .values(
            brand=saved.brand,
            last4=saved.last4,
            exp_month=saved.exp_month,
            exp_year=saved.exp_year,
            fingerprint=saved.fingerprint,
        )
    )


async def _replace_card(
    transaction: Transaction, *, business_id: str, card: Card, customer_id: str, saved: SavedCard
) -> Card | None:
    """Store another card of the gateway in a card's row; None if the row has changed."""
    await transaction.connection.execute(
        update(cards)
        .where(
            cards.c.business_id == business_id,
            cards.c.card_id == card.card_id,
            cards.c.gateway_card_id == card.gateway_card_id,
        )
        .values(
            customer_id=customer_id,
            gateway_card_id=saved.gateway_card_id,
            brand=saved.brand,
            last4=saved.last4,
            exp_month=saved.exp_month,
            exp_year=saved.exp_year,
            fingerprint=saved.fingerprint,
        )
    )
    changed = await card_by_id(transaction, business_id=business_id, card_id=card.card_id)
    return changed if changed and changed.gateway_card_id == saved.gateway_card_id else None


async def make_primary(
    transaction: Transaction,
    *,
    business_id: str,
    user_id: str,
    env: str,
    gateway: str,
    card_id: str,
) -> None:
    """Make the card the user's only primary card at the gateway."""
    of_user = (
        cards.c.business_id == business_id,
        cards.c.user_id == user_id,
        cards.c.env == env,
        cards.c.gateway == gateway,
    )
    await transaction.connection.execute(
        update(cards).where(*of_user, _IS_PRIMARY).values(is_primary=False)
    )
    await transaction.connection.execute(
        update(cards).where(*of_user, cards.c.card_id == card_id).values(is_primary=True)
    )


async def customer_of_user(
    transaction: Transaction, *, business_id: str, user_id: str, env: str, gateway: str
) -> str | None:
    """Return the id of the user's customer at the gateway, or None."""
    result = await transaction.connection.execute(
        select(gateway_customers.c.customer_id).where(
            gateway_customers.c.business_id == business_id,
            gateway_customers.c.user_id == user_id,
            gateway_customers.c.env == env,
            gateway_customers.c.gateway == gateway,
        )
    )
    return result.scalar_one_or_none()


async def other_user_of_customer(
    transaction: Transaction,
    *,
    business_id: str,
    user_id: str,
    env: str,
    gateway: str,
    customer_id: str,
) -> str | None:
    """Return the id of another user who has this customer at the gateway, or None."""
    result = await transaction.connection.execute(
        select(gateway_customers.c.user_id)
        .where(
            gateway_customers.c.business_id == business_id,
            gateway_customers.c.env == env,
            gateway_customers.c.gateway == gateway,
            gateway_customers.c.customer_id == customer_id,
            gateway_customers.c.user_id != user_id,
        )
        .limit(1)
    )
    return result.scalar_one_or_none()


async def lock_imports(transaction: Transaction, business_id: str) -> None:
    """Lock the business against other imports of customers until the transaction ends.

    It excludes no insert of the business's rows, only changes of the business itself.
    """
    await transaction.connection.execute(
        select(businesses.c.business_id)
        .where(businesses.c.business_id == business_id)
        .with_for_update(key_share=True)
    )


async def set_customer(
    transaction: Transaction,
    *,
    business_id: str,
    user_id: str,
    env: str,
    gateway: str,
    customer_id: str,
) -> None:
    """Store the user's customer at the gateway, in place of a previous one."""
    table = gateway_customers
    await transaction.connection.execute(
        delete(table).where(
            table.c.business_id == business_id,
            table.c.user_id == user_id,
            table.c.env == env,
            table.c.gateway == gateway,
        )
    )
    await transaction.connection.execute(
        insert(table).values(
            business_id=business_id,
            user_id=user_id,
            env=env,
            gateway=gateway,
            customer_id=customer_id,
            created_at=transaction.now,
        )
    )
