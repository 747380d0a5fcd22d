"""Acknowledged answers: which answers ask for it, and what their callers count as."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from core.caller import Presence, current_presence
from core.payments.delivery import RESPONSE_LIFE
from core.server import stream_connection
from core.users.service import UsersService
from nivisco.internal.v1 import stream_pb2
from nivisco.payments.v1 import users_pb2
from rpc.client import CoreClient
from rpc.frames import call_frame
from rpc.metadata import ACKNOWLEDGES_METADATA
from tests.core.running import (
    OPERATOR_TOKEN,
    Business,
    create_user,
    register,
    running_core,
    settings_for,
)
from tests.core.server.test_stream import PATIENCE_SECONDS, USER_INFO_PATH, Peer, stream_on
from tests.databases import fresh_sqlite


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Nothing here depends on the kind of the database."""
    return fresh_sqlite(tmp_path / "nivisco.db")


@asynccontextmanager
async def acknowledging_peer(client: CoreClient, value: str = "true") -> AsyncIterator[Peer]:
    """A stream of a peer that says whether it acknowledges, after the welcome."""
    peer = stream_on(client._channel, OPERATOR_TOKEN, (ACKNOWLEDGES_METADATA, value))
    assert (await peer.frame()).HasField("welcome")
    yield peer
    peer.stream.cancel()


@pytest.fixture
def callers(monkeypatch: pytest.MonkeyPatch) -> list[Presence]:
    """The callers of GetUserInfo, whose deliveries are recorded as those of charges."""
    found: list[Presence] = []
    get = UsersService.get

    async def recorded(*arguments: Any) -> Any:
        found.append(current_presence())
        current_presence().is_delivery_recorded = True
        return await get(*arguments)

    monkeypatch.setattr(UsersService, "get", recorded)
    return found


def user_info(call_id: int, business: Business, user_id: str) -> bytes:
    body = users_pb2.GetUserInfoRequest(user_id=user_id).SerializeToString()
    metadata = business.credentials.metadata()
    return call_frame(call_id, USER_INFO_PATH, metadata, body, PATIENCE_SECONDS)


def acknowledgement(*call_ids: int) -> bytes:
    return stream_pb2.Frame(acknowledged_call_ids=call_ids).SerializeToString()


def cancellation(*call_ids: int) -> bytes:
    return stream_pb2.Frame(cancelled_call_ids=call_ids).SerializeToString()


async def ended(caller: Presence) -> Presence:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await caller.ended()
    return caller


SETTLED = {
    "acknowledged": (acknowledgement(1), True),
    "cancelled": (cancellation(1), False),
    "acknowledged, and cancelled too late": (acknowledgement(1) + cancellation(1), True),
    "cancelled, and acknowledged too late": (cancellation(1), False),
    "acknowledged beside unknown calls": (acknowledgement(99, 1, 7), True),
}


@pytest.mark.parametrize("case", SETTLED)
async def test_a_caller_has_a_recorded_answer_once_it_is_acknowledged(
    business: Business, user_id: str, callers: list[Presence], case: str
) -> None:
    frame, is_answered = SETTLED[case]
    async with acknowledging_peer(business.client) as peer:
        await peer.stream.write(user_info(1, business, user_id))
        assert (await peer.answers(1))[1].wants_acknowledgement
        # A later call is answered after the first one's frame was written, which says nothing.
        await peer.stream.write(user_info(2, business, user_id))
        await peer.answers(1)
        assert not callers[0].is_answered
        assert not callers[0].left
        await peer.stream.write(frame)
        assert (await ended(callers[0])).is_answered is is_answered
        await peer.stream.write(acknowledgement(1, 2))
        assert (await ended(callers[1])).is_answered
        assert callers[0].is_answered is is_answered


async def test_callers_have_left_if_the_stream_ends_before_an_acknowledgement(
    business: Business, user_id: str, callers: list[Presence]
) -> None:
    async with acknowledging_peer(business.client) as peer:
        await peer.stream.write(user_info(1, business, user_id) + user_info(2, business, user_id))
        await peer.answers(2)
        await peer.stream.write(acknowledgement(2))
        assert (await ended(callers[1])).is_answered
        peer.stream.cancel()
        assert (await ended(callers[0])).left


async def test_callers_have_left_if_no_acknowledgement_comes_in_time(
    business: Business,
    user_id: str,
    callers: list[Presence],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "core")
    monkeypatch.setattr(stream_connection, "EXPIRY_SECONDS", 0.01)
    monkeypatch.setattr(stream_connection, "ACKNOWLEDGE_SECONDS", 0.0)
    async with acknowledging_peer(business.client) as peer:
        await peer.stream.write(user_info(1, business, user_id))
        await peer.answers(1)
        assert (await ended(callers[0])).left
        await peer.stream.write(acknowledgement(1) + user_info(2, business, user_id))
        await peer.answers(1)
        assert callers[0].left
    assert "answers not acknowledged in time" in caplog.messages


def test_an_answer_counts_as_lost_before_other_cores_stop_waiting_for_it() -> None:
    seen_after = stream_connection.ACKNOWLEDGE_SECONDS + stream_connection.EXPIRY_SECONDS
    assert seen_after < RESPONSE_LIFE.total_seconds()


@pytest.mark.parametrize("value", ["", "false", "1"])
async def test_the_answers_of_a_peer_that_acknowledges_nothing_are_delivered_when_written(
    business: Business, user_id: str, callers: list[Presence], value: str
) -> None:
    async with acknowledging_peer(business.client, value) as peer:
        await peer.stream.write(user_info(1, business, user_id))
        assert not (await peer.answers(1))[1].wants_acknowledgement
        assert (await ended(callers[0])).is_answered


async def test_a_refusal_and_an_answer_that_nobody_records_ask_for_nothing(
    business: Business, user_id: str, callers: list[Presence]
) -> None:
    validate = "/nivisco.payments.v1.AuthenticationService/ValidateBusiness"
    metadata = business.credentials.metadata()
    async with acknowledging_peer(business.client) as peer:
        await peer.stream.write(
            call_frame(1, validate, metadata, b"", PATIENCE_SECONDS)
            + user_info(2, business, "USR-unknown")
        )
        answers = await peer.answers(2)
    assert not any(each.wants_acknowledgement for each in answers.values())
    assert answers[2].HasField("status")
    assert (await ended(callers[0])).is_answered


async def test_a_stopping_core_ends_a_stream_after_the_last_acknowledgement(
    tmp_path: Path, callers: list[Presence]
) -> None:
    async with running_core(settings_for(tmp_path)) as client:
        business = await register(client)
        user_id = await create_user(business)
        channel = grpc.aio.insecure_channel(client.target)
        peer = stream_on(channel, OPERATOR_TOKEN, (ACKNOWLEDGES_METADATA, "true"))
        await peer.frame()
        await peer.stream.write(user_info(1, business, user_id))
        await peer.answers(1)
        stopping = asyncio.create_task(acknowledge_after_the_stop(peer))
    assert await stopping == (grpc.StatusCode.OK, "")
    await channel.close(None)
    assert callers[0].is_answered


async def acknowledge_after_the_stop(peer: Peer) -> tuple[grpc.StatusCode, str]:
    """Acknowledge the first call after the core has named its last one; return the end."""
    drain = (await peer.frame()).drain
    while not drain.HasField("last_call_id"):
        drain = (await peer.frame()).drain
    for _ in range(500):  # a core that does not wait ends the stream meanwhile
        await asyncio.sleep(0)
    await peer.stream.write(acknowledgement(1))
    return await peer.end()
