"""Failpoints: the named places, around each commit, gateway call and frame, where a core is killed.

Production code has none: the test's core adds them (`tests.prove.core_process`). A failpoint is
"<place>.before" or "<place>.after", or LOST_ANSWERS. A place is the name that core/ gives a
transaction, an action that commits once, a gateway's verb, or the reading or writing of a stream's
frame with calls or answers. So a newly named transaction is a new failpoint.
"""

import asyncio
import os
import re
import secrets
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc

from core.caller import Presence
from core.gateways.authorize.gateway import AuthorizeGateway
from core.gateways.stripe.gateway import StripeGateway
from core.server.stream_connection import StreamConnection
from nivisco.internal.v1 import stream_pb2
from rpc.catalogue import mutating_actions
from rpc.frames import FrameError

_CORE: Final = Path(__file__).parents[2] / "core"
_NAMED_TRANSACTION: Final = re.compile(r'\.transaction\(\s*"([^"]+)"')
_DECISIONS: Final = (
    "operator.clear",
    "operator.erase",
    "operator.release",
    "operator.start",
    "operator.stop",
    "payments.resolve",
    "payments.retry",
    "refunds.resolve",
    "refunds.retry",
    "sealing.reseal",
)
"""An operator sees whether one was recorded, and repeats it."""
_DELETIONS: Final = ("webhooks.reap",)
"""Of rows that nothing reads, months later: what a dead core leaves, the next look deletes."""
_VERB_OF_METHOD: Final = {
    "charge": "charge",
    "save_card": "save_card",
    "remove_card": "remove_card",
    "update_card": "update_card",
    "create_customer": "create_customer",
    "create_customer_with_card": "create_customer",
    "create_customer_with_nonce": "create_customer",
    "look_up_charge": "look_up_charge",
    "refund": "refund",
    "look_up_refund": "look_up_refund",
    "capture_payment": "capture_payment",
    "cancel_payment": "cancel_payment",
}
_FRAMES: Final = ("frame.read", "frame.write")
"""Before `read`, no call of the frame was accepted; after `write`, the answers were sent."""
LOST_ANSWERS: Final = "frame.lose.after"
"""Killed some time after a frame with an answer whose delivery is recorded was written and lost: a
peer whose connection breaks drops what has arrived and is not read."""
LOST_SECONDS: Final = 0.2
"""That time: a core that takes a written answer for a received one has recorded it by then."""
CUT: Final = "CUT at"
"""In the journal, before the place at which a connection was cut."""
CUT_EVERY: Final = 50


@cache
def transactions() -> list[str]:
    """Return the names of the transactions in core/ that a scenario reaches."""
    return [
        name
        for path in sorted(_CORE.rglob("*.py"))
        for name in _NAMED_TRANSACTION.findall(path.read_text())
        if name not in (*_DECISIONS, *_DELETIONS)
    ]


def actions() -> list[str]:
    """Return the mutating actions that commit once, except those of jobs, which commit alike."""
    return [
        method.descriptor.name
        for method in mutating_actions().values()
        if not method.keeps_own_idempotency_record
        and method.descriptor.containing_service.name != "RecurringService"
    ]


def failpoints() -> list[str]:
    """Return the names of all failpoints."""
    verbs = [f"gateway.{verb}" for verb in dict.fromkeys(_VERB_OF_METHOD.values())]
    places = [*transactions(), *actions(), *verbs, *_FRAMES]
    sides = [f"{place}.{side}" for place in places for side in ("before", "after")]
    return [*sides, LOST_ANSWERS]


class Failpoints:
    """The failpoints of one process: records each hit in a journal and kills at the armed one."""

    def __init__(self, journal: int, name: str) -> None:
        """Write to the open file `journal`, which outlives the process, as the process `name`."""
        self._journal = journal
        self._name = name
        self._armed: tuple[str, int] | None = None

    def arm(self, point: str | None, hits: int = 1) -> None:
        """Kill this process at its `hits`-th pass of the failpoint from now on; None: never."""
        self._armed = (point, hits) if point else None

    def is_next(self, point: str) -> bool:
        """Return whether the next pass of the failpoint kills this process."""
        return self._armed == (point, 1)

    def hit(self, point: str) -> None:
        """Record that a failpoint is reached; does not return if it is the armed one."""
        is_killed = False
        if self._armed is not None and self._armed[0] == point:
            remaining = self._armed[1] - 1
            self._armed = (point, remaining)
            is_killed = remaining == 0
        self.note(f"KILLED at {point}" if is_killed else point)
        if is_killed:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()

    def hit_frame(self, point: str) -> None:
        """Do as `hit`; or end the connection, as a dying adapter does, once in CUT_EVERY times.

        Only while a failpoint is armed: otherwise clients rely on their responses.

        Raises:
            FrameError: the stream is to end.
        """
        self.hit(point)
        if self._armed is not None and secrets.randbelow(CUT_EVERY) == 0:
            self.note(f"{CUT} {point}")
            raise FrameError(grpc.StatusCode.CANCELLED, "the test cut the connection")

    def note(self, text: str) -> None:
        """Write a line to the journal."""
        os.write(self._journal, f"{time.time():.4f} {self._name} {text}\n".encode())


_Gateway = TypeVar("_Gateway", StripeGateway, AuthorizeGateway)


def with_failpoints(gateway: type[_Gateway], points: Failpoints) -> type[_Gateway]:
    """Return a subclass of the gateway with a failpoint before and after each verb."""

    def between_failpoints(method: str, verb: str) -> Callable[..., Awaitable[Any]]:
        async def call(self: _Gateway, *arguments: Any, **named: Any) -> Any:
            points.hit(f"gateway.{verb}.before")
            result = await getattr(gateway, method)(self, *arguments, **named)
            points.hit(f"gateway.{verb}.after")
            return result

        return call

    methods = {
        method: between_failpoints(method, verb)
        for method, verb in _VERB_OF_METHOD.items()
        if hasattr(gateway, method)
    }
    return type(f"{gateway.__name__}WithFailpoints", (gateway,), methods)


def _has_recorded(answers: Iterable[stream_pb2.CallAnswer], callers: list[Presence]) -> bool:
    """Return whether the delivery of an answer is recorded, when it is acknowledged or written."""
    return any(answer.wants_acknowledgement for answer in answers) or any(
        presence.is_delivery_recorded for presence in callers
    )


async def _lose_if_armed(
    points: Failpoints, answers: Iterable[stream_pb2.CallAnswer], callers: list[Presence]
) -> None:
    """Pass LOST_ANSWERS: if it is armed, the answers are lost, and count as written meanwhile."""
    if not _has_recorded(answers, callers):
        return
    if points.is_next(LOST_ANSWERS):
        for presence in callers:
            presence.end()
        await asyncio.sleep(LOST_SECONDS)
    points.hit(LOST_ANSWERS)


def stream_with_failpoints(points: Failpoints) -> type[StreamConnection]:
    """Return a subclass of the stream with failpoints around each frame of calls or answers."""

    class StreamConnectionWithFailpoints(StreamConnection):
        def _take(self, frame: stream_pb2.Frame) -> None:
            if frame.calls:
                points.hit_frame("frame.read.before")
            super()._take(frame)
            if frame.calls:
                points.hit_frame("frame.read.after")

        async def _write_batch(self, frame: bytes, callers: list[Presence]) -> None:
            answers = stream_pb2.Frame.FromString(frame).answers
            try:
                if answers:
                    points.hit_frame("frame.write.before")
            except FrameError:
                for presence in callers:
                    presence.end(left=True)
                raise
            await _lose_if_armed(points, answers, callers)
            await super()._write_batch(frame, callers)
            if answers:
                points.hit_frame("frame.write.after")

    return StreamConnectionWithFailpoints
