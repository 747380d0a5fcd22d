"""Sends one request over JSON or gRPC."""

import http.client
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from cli.failures import Failure
from rpc.catalogue import method_path
from rpc.errors import CoreError, core_error
from rpc.loopback import resolves_to_loopback
from rpc.metadata import Credentials, request_metadata
from transcoding import exact_json

DEFAULT_URL = "http://127.0.0.1:8080/"
"""Where `nivisco up` serves the JSON endpoint, unless --http says otherwise."""
_MAX_RESPONSE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The JSON endpoint's response."""

    status: int
    body: bytes


def post_json(url: str, envelope: dict[str, Any], timeout_seconds: float) -> HttpResponse:
    """Send one envelope to the JSON endpoint.

    Raises:
        ValueError: the URL is not an http(s) address, or is plain http to another machine.
        Failure: no response came; the message says whether the request may have been executed.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"'{url}' is not an http(s) address")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise ValueError(
            f"'{url}' is plain http to another machine, which sends the API key in the clear: use "
            "https"
        )
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout_seconds)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    body = exact_json.write(envelope).encode()
    try:
        connection.connect()
    except OSError as error:
        raise Failure(
            f"No response from {url} ({_why(error)}). Is `nivisco up` running there? "
            "--url names another."
        ) from None
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return HttpResponse(response.status, response.read(_MAX_RESPONSE_BYTES))
    except (OSError, http.client.HTTPException) as error:
        is_late = isinstance(error, TimeoutError)
        why = f"in {timeout_seconds:g} s" if is_late else f"({_why(error)})"
        raise Failure(
            f"No response from {url} {why}, so the outcome is unknown. "
            "Retry with the same idempotency_key to find out."
        ) from None
    finally:
        connection.close()


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _is_this_machine(host: str) -> bool:
    """Return whether all addresses of a host are of this machine; an unknown host's are not."""
    try:
        return resolves_to_loopback(host)
    except OSError:
        return False


def call_core(
    channel: grpc.Channel,
    method: MethodDescriptor,
    request: Message,
    credentials: Credentials,
    timeout_seconds: float,
) -> Message:
    """Call a method of the core and return its response.

    Raises:
        CoreError: the core refused, or did not respond in time.
    """
    response = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_unary(
        method_path(method),
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response.FromString,
    )
    try:
        metadata = tuple(request_metadata(credentials))
        return cast(Message, call(request, timeout=timeout_seconds, metadata=metadata))
    except grpc.RpcError as error:
        raise _refusal(error) from None


def _refusal(error: grpc.RpcError) -> CoreError:
    failed = cast(grpc.Call, error)  # every RpcError that a call raises is one
    trailing = cast(Sequence[tuple[str, str | bytes]], failed.trailing_metadata() or ())
    return core_error(failed.code(), failed.details(), tuple(trailing))
