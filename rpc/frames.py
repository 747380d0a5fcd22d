"""Frames of the stream between a client and a core: their parts, metadata and rules.

The serialized form of a frame is the concatenation of those of its parts
(https://protobuf.dev/programming-guides/encoding/#last-one-wins). So each call and each answer is
serialized once, as a frame of its own, and a batch joins what has gathered.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sized
from math import ceil
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from nivisco.internal.v1 import stream_pb2

STREAM_SERVICE: Final = "nivisco.internal.v1.StreamService"
STREAM_METHOD: Final = "Connect"
ANSWER_FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
"""Largest frame that a core sends: what a gRPC client receives by default."""
BATCH_BYTES: Final = 256 * 1024
"""A batch with so many bytes takes no more parts, so that its first need not wait for its last."""
_GATHERED_MAX: Final = 16
"""So many parts are written at once: the cost of a frame is small beside theirs."""
_TIMEOUT_MILLISECONDS_MAX: Final = 2**32 - 1
_BINARY: Final = "-bin"
"""Ending of the names of metadata whose values are bytes, as in gRPC."""


class FrameError(Exception):
    """The peer broke a rule of the stream, which ends for that."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse_frame(raw: bytes) -> stream_pb2.Frame:
    """Return the frame.

    Raises:
        FrameError: it is no frame, or empty.
    """
    if not raw:
        raise FrameError(grpc.StatusCode.INVALID_ARGUMENT, "an empty frame")
    try:
        return stream_pb2.Frame.FromString(raw)
    except DecodeError:
        raise FrameError(grpc.StatusCode.INVALID_ARGUMENT, "not a frame") from None


async def gather(parts: Sized, expects_more: Callable[[], bool]) -> None:
    """Let more parts come for the same frame, which costs more than a part does.

    Takes a turn of the event loop for as long as each brings a part, and only while `expects_more`:
    a lone part is written now.
    """
    size = 0
    while size < len(parts) < _GATHERED_MAX and expects_more():
        size = len(parts)
        await asyncio.sleep(0)


def call_frame(
    call_id: int,
    method: str,
    metadata: Iterable[tuple[str, str | bytes]],
    body: bytes,
    timeout_seconds: float,
) -> bytes:
    """Return the serialized frame of one call."""
    frame = stream_pb2.Frame()
    call = frame.calls.add(
        id=call_id,
        method=method,
        body=body,
        timeout_milliseconds=min(max(1, ceil(timeout_seconds * 1000)), _TIMEOUT_MILLISECONDS_MAX),
    )
    for name, value in metadata:
        call.metadata[name] = value.encode() if isinstance(value, str) else value
    return frame.SerializeToString()


def metadata_of(call: stream_pb2.Call) -> Mapping[str, str | bytes]:
    """Return the metadata of a call.

    Raises:
        FrameError: a text is not in UTF-8.
    """
    try:
        return {
            name: value if name.endswith(_BINARY) else value.decode()
            for name, value in call.metadata.items()
        }
    except UnicodeDecodeError:
        raise FrameError(
            grpc.StatusCode.INVALID_ARGUMENT, f"metadata of call {call.id} is not in UTF-8"
        ) from None


def answer_frame(
    call_id: int,
    body: bytes,
    status: status_pb2.Status | None,
    *,
    is_replayed: bool,
    wants_acknowledgement: bool = False,
) -> bytes:
    """Return the serialized frame of one answer.

    A response that fits into no frame becomes a status, as gRPC would have it.
    """
    frame = stream_pb2.Frame()
    frame.answers.add(
        call_id=call_id,
        body=body,
        status=status,
        is_replayed=is_replayed,
        wants_acknowledgement=wants_acknowledgement,
    )
    raw = frame.SerializeToString()
    if len(raw) <= ANSWER_FRAME_BYTES_MAX:
        return raw
    too_large = status_pb2.Status(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0],
        message=f"The response has more than {ANSWER_FRAME_BYTES_MAX} bytes",
    )
    return answer_frame(call_id, b"", too_large, is_replayed=is_replayed)
