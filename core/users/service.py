"""Creates, reads and updates users."""

from collections.abc import Mapping
from typing import Protocol

from core.caller import Caller
from core.database.paging import Page, PageRequest
from core.database.transactions import Database, Transaction
from core.errors import InvalidFields, Reason, Refusal
from core.ids import new_user_id
from core.money import DEFAULT_CURRENCY, currency_problem
from core.users import store
from core.wallet import store as wallet_store


class UsersService:
    """The use cases of UsersService."""

    def __init__(self, database: Database) -> None:
        """Store users in `database`."""
        self._database = database

    async def create(
        self,
        caller: Caller,
        *,
        name: str,
        email: str,
        currency: str | None,
        metadata: str | None = None,
    ) -> tuple[store.User, wallet_store.Wallet]:
        """Create a user and their wallet in the caller's default environment.

        Raises:
            InvalidFields: the currency is unknown.
        """
        currency = (currency or DEFAULT_CURRENCY).lower()
        if problem := currency_problem(currency):
            raise InvalidFields.of("user.currency", problem)
        user_id = new_user_id()
        async with self._database.transaction() as transaction:
            user = await store.insert_user(
                transaction,
                business_id=caller.business_id,
                user_id=user_id,
                name=name,
                email=email,
                currency=currency,
                metadata=metadata,
            )
            wallet = await wallet_store.wallet_of_user(
                transaction,
                business_id=caller.business_id,
                user_id=user_id,
                env=caller.default_env,
                currency=currency,
            )
        return user, wallet

    async def get(self, caller: Caller, user_id: str) -> store.User:
        """Return one of the caller's users.

        Raises:
            Refusal: USER_NOT_FOUND, also for another business's user.
        """
        return await existing_user(self._database, caller.business_id, user_id)

    async def list_active(
        self, caller: Caller, page: PageRequest, digest: str | None
    ) -> Page[store.User]:
        """Return a page of the caller's active users; with `digest` those with a pair of metadata.

        Raises:
            InvalidFields: as `PagedList.read` does.
        """
        async with self._database.listing() as transaction:
            return await store.active_users(
                transaction, business_id=caller.business_id, digest=digest, page=page
            )

    async def update(
        self, caller: Caller, user_id: str, updates: Mapping[str, str | bool | None]
    ) -> store.User:
        """Change a user and return the result.

        Raises:
            InvalidFields: nothing to change.
            Refusal: USER_NOT_FOUND.
        """
        async with self._database.transaction() as transaction:
            if not updates:
                await existing_user(transaction, caller.business_id, user_id)
                raise InvalidFields.of("updates", "must hold name, email, active or metadata")
            user = await store.update_user(
                transaction, business_id=caller.business_id, user_id=user_id, updates=updates
            )
        if user is None:
            raise user_not_found()
        return user

    async def set_suspended(
        self, caller: Caller, user_id: str, *, is_suspended: bool
    ) -> store.User:
        """Suspend a user or end that, and return the user. Repeating it changes nothing.

        Raises:
            Refusal: USER_NOT_FOUND.
        """
        async with self._database.transaction() as transaction:
            user = await store.set_suspended(
                transaction,
                business_id=caller.business_id,
                user_id=user_id,
                is_suspended=is_suspended,
            )
        if user is None:
            raise user_not_found()
        return user


async def existing_user(
    reader: Database | Transaction, business_id: str, user_id: str, *, lock: bool = False
) -> store.User:
    """Return the business's user. Read in a transaction, or without one.

    Raises:
        Refusal: USER_NOT_FOUND, also for another business's user.
    """
    user = await store.user_by_id(reader, business_id=business_id, user_id=user_id, lock=lock)
    if user is None:
        raise user_not_found()
    return user


def user_not_found() -> Refusal:
    """Return the refusal for a user that the business does not have."""
    return Refusal(Reason.ERROR_REASON_USER_NOT_FOUND, "User not found")


async def active_user(
    transaction: Transaction, business_id: str, user_id: str, *, lock: bool = False
) -> store.User:
    """Return the business's user if active and not suspended.

    Raises:
        Refusal: USER_NOT_FOUND, USER_INACTIVE or USER_SUSPENDED.
    """
    user = await existing_user(transaction, business_id, user_id, lock=lock)
    check_active(user)
    return user


class MayBeActive(Protocol):
    """What says whether a user may be charged."""

    @property
    def active(self) -> bool:
        """Whether the user is active."""
        ...

    @property
    def is_suspended(self) -> bool:
        """Whether the user is suspended."""
        ...


def check_active(user: MayBeActive) -> None:
    """Check that the user is active and not suspended.

    Raises:
        Refusal: USER_INACTIVE or USER_SUSPENDED.
    """
    if (refusal := inactivity(user)) is not None:
        raise refusal


def inactivity(user: MayBeActive) -> Refusal | None:
    """Return the refusal of an action for a user who is suspended or not active, or None."""
    if user.is_suspended:
        return Refusal(
            Reason.ERROR_REASON_USER_SUSPENDED, "The user is suspended; reactivate them first"
        )
    if not user.active:
        return Refusal(
            Reason.ERROR_REASON_USER_INACTIVE, "The user is not active; activate them first"
        )
    return None
