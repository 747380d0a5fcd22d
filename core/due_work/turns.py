"""Chooses due rows so that every business has its turn, however many rows of others are due."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from core.database.transactions import Transaction
from core.due_work import store
from core.due_work.rules import DueRow, Key, in_turns
from core.due_work.store import DueTable

WINDOW: Final = 1000
"""Due rows of a lane up to which all are read, in order of time. More of them are a backlog."""
SCANNED_ROWS_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class Choice:
    """What to look at in the lanes that have room."""

    rows: list[DueRow] = field(default_factory=list)
    """In order. With `spare` more than there is room for."""
    lanes_with_more: set[str] = field(default_factory=set)
    """Lanes in which more rows are due than there is room for, or may be as there is none."""


class Turns:
    """The turns of the businesses with due rows in one table.

    While all due rows of a lane fit into a window, the longest due row of each business comes
    first, then the second of each. In a backlog the businesses take turns by their ids, and each
    choice goes on where the previous one ended: so a business waits for one turn of each other one,
    and not for their backlogs.
    """

    def __init__(self, due: DueTable, *, window: int = WINDOW) -> None:
        """Choose from `due`; more than `window` due rows of a lane are a backlog."""
        self._due = due
        self._window = window
        self._last: dict[str, str] = {}
        """By lane, the last business that had its turn in a backlog."""

    async def choose(
        self,
        transaction: Transaction,
        room: Mapping[str, int],
        *,
        room_of: Callable[[DueRow], int],
        each: int,
        except_for: Collection[Key] = (),
        spare: int = 0,
    ) -> Choice:
        """Return rows for the `room` of each lane, without locking them.

        `room_of` is the room of a row's business, of which a backlog is read up to `each` rows.
        `spare` is how many rows more to return, as some may turn out to be locked by others.
        """
        lanes = [lane for lane, places in room.items() if places > 0]
        choice = Choice(lanes_with_more=room.keys() - set(lanes))
        if not lanes:
            return choice
        oldest = await store.oldest_due(transaction, self._due, lanes, self._window)
        for lane in lanes:
            due: Sequence[DueRow] = [row for row in oldest if row.lane == lane]
            after = None
            is_backlog = len(due) >= self._window
            if is_backlog:
                due, after = await self._scan(transaction, lane, each)
            due = [row for row in due if row.key not in except_for]
            turns = in_turns(due, room_of=room_of)
            chosen = turns[: room[lane]]
            if is_backlog:
                is_cut = len(turns) > len(chosen) and turns[len(chosen)][0] == 0
                self._last[lane] = chosen[-1][1].business_id if is_cut else after or ""
            if is_backlog or len(due) > len(chosen):
                choice.lanes_with_more.add(lane)
            choice.rows.extend(row for _, row in turns[: room[lane] + spare])
        return choice

    async def _scan(
        self, transaction: Transaction, lane: str, each: int
    ) -> tuple[list[DueRow], str | None]:
        """Return due rows by business, from the one whose turn it is, and where the scan ended."""
        last = self._last.get(lane, "")
        rows, after = await store.due_of_businesses(
            transaction, self._due, lane, after=last, each=each, limit=SCANNED_ROWS_MAX
        )
        if after is None and last:
            others, after = await store.due_of_businesses(
                transaction, self._due, lane, after="", each=each, limit=SCANNED_ROWS_MAX
            )
            rows = list({row.key: row for row in (*rows, *others)}.values())
        return rows, after
