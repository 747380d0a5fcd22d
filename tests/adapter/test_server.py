"""HTTP of the adapter: limits, headers, paths, malformed requests, stopping."""

import asyncio
import json
import re
import socket
from dataclasses import replace

import pytest
from google.protobuf.message import Message

from adapter.server import serve
from adapter.settings import AdapterSettings
from nivisco.payments.v1 import authentication_pb2
from tests.adapter.recording_core import RecordingCore
from tests.adapter.running import CREDENTIALS, AdapterClient, running_adapter
from transcoding.envelope import MAX_BODY_BYTES

VALIDATE = json.dumps({**CREDENTIALS, "action": "validate_business"}).encode()


def chunked(body: bytes) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def padded(size: int) -> bytes:
    return VALIDATE + b" " * (size - len(VALIDATE))


def body_of(response: bytes) -> object:
    return json.loads(response.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
async def test_a_method_other_than_post_gets_the_documented_405(
    client: AdapterClient, method: str
) -> None:
    async with client.session.request(method, client.url) as response:
        assert await response.json() == {"success": False, "error": "Method Not Allowed"}
    assert (response.status, response.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/v1", "/index.html", "//x", "/%00"])
async def test_an_unknown_path_is_a_404_in_json(
    client: AdapterClient, method: str, path: str
) -> None:
    async with client.session.request(method, client.url + path) as response:
        body = await response.json()
    assert (response.status, body["code"]) == (404, "UNKNOWN_PATH")


@pytest.mark.parametrize("path", ["/docs", "/live-test", "/openapi.json", "/healthz", "/readyz"])
async def test_a_trailing_slash_does_not_change_the_path(client: AdapterClient, path: str) -> None:
    async with client.session.get(client.url + path) as plain:
        body = await plain.read()
    async with client.session.get(client.url + path + "/", allow_redirects=False) as slashed:
        assert (slashed.status, await slashed.read()) == (200, body)


async def test_a_query_does_not_change_the_path(client: AdapterClient) -> None:
    async with client.session.post(client.url + "/?x=1", data=VALIDATE) as response:
        assert response.status == 200


async def test_a_body_of_64_kib_is_accepted(client: AdapterClient) -> None:
    assert (await client.post_bytes(padded(MAX_BODY_BYTES)))[0] == 200


async def test_a_body_of_one_byte_more_is_too_large(client: AdapterClient) -> None:
    status, body = await client.post_bytes(padded(MAX_BODY_BYTES + 1))
    assert (status, body["code"]) == (413, "BODY_TOO_LARGE")


async def test_a_chunked_body_of_64_kib_is_accepted(client: AdapterClient) -> None:
    response = await client.exchange(chunked(padded(MAX_BODY_BYTES)))
    assert response.startswith(b"HTTP/1.1 200 ")


async def test_a_chunked_body_of_one_byte_more_is_too_large(client: AdapterClient) -> None:
    response = await client.exchange(chunked(padded(MAX_BODY_BYTES + 1)))
    assert response.startswith(b"HTTP/1.1 413 ")


async def test_a_too_large_content_length_is_rejected_before_the_body_arrives(
    client: AdapterClient,
) -> None:
    reader, writer = await asyncio.open_connection(*client.address)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()


@pytest.mark.parametrize("path", [b"/", b"/webhooks/stripe/BUS-1"])
async def test_a_body_that_does_not_arrive_in_time_is_a_408(
    settings: AdapterSettings, path: bytes
) -> None:
    async with running_adapter(replace(settings, body_timeout_seconds=0.05)) as client:
        reader, writer = await asyncio.open_connection(*client.address)
        head = b"POST %s HTTP/1.1\r\nHost: x\r\nStripe-Signature: x\r\nContent-Length: 99\r\n\r\n{"
        writer.write(head % path)
        response = await reader.readuntil(b"}")
        writer.close()
    assert response.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nX-Error-Code: REQUEST_TIMEOUT\r\n" in response
    assert b"\r\nConnection: close\r\n" in response
    assert body_of(response) == {"success": False, "error": "Request Timeout"}


async def test_a_client_that_disconnects_within_its_body_does_not_affect_others(
    client: AdapterClient,
) -> None:
    _, writer = await asyncio.open_connection(*client.address)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
    await writer.drain()
    writer.close()
    assert (await client.post_bytes(VALIDATE))[0] == 200


async def test_a_disconnect_cancels_the_call_to_the_core(
    client: AdapterClient, core: RecordingCore
) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work(_request: Message) -> Message:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return authentication_pb2.ValidateBusinessResponse()

    core.replies["ValidateBusiness"] = work
    _, writer = await asyncio.open_connection(*client.address)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(VALIDATE)
    writer.write(head + VALIDATE)
    await begun.wait()
    writer.transport.abort()
    await asyncio.wait_for(cancelled.wait(), 30)


async def test_a_compressed_body_is_not_decompressed(client: AdapterClient) -> None:
    headers = {"Content-Encoding": "gzip"}
    async with client.session.post(
        client.url, data=b"\x1f\x8b\x08\x00", headers=headers
    ) as response:
        assert await response.json() == {"success": False, "error": "Invalid JSON"}


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", ""])
async def test_the_content_type_is_ignored(client: AdapterClient, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    async with client.session.post(client.url, data=VALIDATE, headers=headers) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_malformed_http_gets_a_response_in_json(client: AdapterClient, raw: bytes) -> None:
    response = await client.exchange(raw)
    assert response.split()[1] in (b"400", b"405")
    body = body_of(response)
    assert isinstance(body, dict)
    assert body["success"] is False
    assert b"X-Request-Id: " in response


async def test_a_client_that_waits_for_100_continue_gets_it(
    client: AdapterClient,
) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
    response = await client.exchange(
        head + b"Content-Length: %d\r\n\r\n" % len(VALIDATE) + VALIDATE
    )
    assert response.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/nope", b"404"), ("POST", "/docs", b"405"), ("GET", "/healthz", b"200")],
)
async def test_what_reads_no_body_asks_for_none(
    client: AdapterClient, method: str, path: str, status: bytes
) -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    response = await client.exchange(f"{head}Expect: 100-continue\r\n\r\n".encode())
    assert response.startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/readyz/"])
async def test_head_gets_the_headers_of_get_without_the_body(
    client: AdapterClient, path: str
) -> None:
    head = f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head_response = await client.exchange(head.encode())
    get_response = await client.exchange(head.replace("HEAD", "GET").encode())
    varying = re.compile(rb"(Date|X-Request-Id): .*")
    headers, _, body = get_response.partition(b"\r\n\r\n")
    assert varying.sub(b"", head_response) == varying.sub(b"", headers) + b"\r\n\r\n"
    assert b"Content-Length: %d\r\n" % len(body) in headers


@pytest.mark.parametrize(
    ("version", "connection", "stays_open"),
    [
        ("1.1", "", None),
        ("1.1", "close", b"close"),
        ("1.0", "", None),
        ("1.0", "keep-alive", b"keep-alive"),
    ],
)
async def test_the_connection_header_says_whether_the_connection_stays_open(
    client: AdapterClient, version: str, connection: str, stays_open: bytes | None
) -> None:
    reader, writer = await asyncio.open_connection(*client.address)
    wanted = f"Connection: {connection}\r\n" if connection else ""
    writer.write(f"GET /healthz HTTP/{version}\r\nHost: x\r\n{wanted}\r\n".encode())
    response = await reader.readuntil(b'{"status":"alive"}')
    found = re.search(rb"\r\nConnection: (.*)\r\n", response)
    assert (found and found[1]) == stays_open
    writer.close()


async def test_an_unknown_expectation_is_ignored(client: AdapterClient) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: coffee\r\n"
    response = await client.exchange(
        head + b"Content-Length: %d\r\n\r\n" % len(VALIDATE) + VALIDATE
    )
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/"), ("GET", "/"), ("GET", "/nope"), ("GET", "/healthz")]
)
async def test_every_response_has_the_common_headers(
    client: AdapterClient, method: str, path: str
) -> None:
    async with client.session.request(method, client.url + path, data=VALIDATE) as response:
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", response.headers["X-Request-Id"])


async def test_a_request_id_is_adopted_and_sent_to_the_core(
    client: AdapterClient, core: RecordingCore
) -> None:
    headers = {"X-Request-Id": "a.B_c-9"}
    async with client.session.post(client.url, data=VALIDATE, headers=headers) as response:
        assert response.headers["X-Request-Id"] == "a.B_c-9"
    assert core.calls[0].metadata["x-request-id"] == "a.B_c-9"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ä", "<script>"])
async def test_a_malformed_request_id_is_replaced(client: AdapterClient, given: str) -> None:
    async with client.session.post(
        client.url, data=VALIDATE, headers={"X-Request-Id": given}
    ) as response:
        assert len(response.headers["X-Request-Id"]) == 26


async def test_liveness_does_not_depend_on_the_core(
    client: AdapterClient, core: RecordingCore
) -> None:
    core.serving = False
    async with client.session.get(client.url + "/healthz") as response:
        assert (response.status, await response.json()) == (200, {"status": "alive"})


@pytest.mark.parametrize(
    ("serving", "status", "word"), [(True, 200, "ready"), (False, 503, "not ready")]
)
async def test_readiness_depends_on_the_core(
    client: AdapterClient, core: RecordingCore, serving: bool, status: int, word: str
) -> None:
    core.serving = serving
    async with client.session.get(client.url + "/readyz") as response:
        assert (response.status, await response.json()) == (status, {"status": word})


async def test_stopping_finishes_requests_in_flight(
    settings: AdapterSettings, core: RecordingCore
) -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def work(_request: Message) -> Message:
        begun.set()
        await finish.wait()
        return authentication_pb2.ValidateBusinessResponse()

    core.replies["ValidateBusiness"] = work
    async with running_adapter(settings) as client:
        request = asyncio.create_task(client.post_bytes(VALIDATE))
        await begun.wait()
        client.stop.set()
        finish.set()
        assert (await request)[0] == 200


async def test_stopping_closes_idle_connections_at_once(settings: AdapterSettings) -> None:
    async with running_adapter(settings) as client:
        reader, writer = await asyncio.open_connection(*client.address)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b'{"status":"alive"}')
        client.stop.set()
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()


async def test_a_stopping_adapter_sends_one_more_response_on_each_connection_and_is_not_ready(
    settings: AdapterSettings,
) -> None:
    async with running_adapter(replace(settings, lame_duck_seconds=300.0)) as client:
        kept, writer = await asyncio.open_connection(*client.address)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"Connection: close" not in await kept.readuntil(b'{"status":"alive"}')
        client.stop.set()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(VALIDATE))
        writer.write(VALIDATE)
        response = await kept.read()
        assert response.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nConnection: close\r\n" in response
        writer.close()
        async with client.session.get(client.url + "/readyz") as ready:
            assert (ready.status, await ready.json()) == (503, {"status": "not ready"})
        assert (await client.post_bytes(VALIDATE))[0] == 200
        client.serving.cancel()


async def test_a_connection_accepted_before_the_stop_gets_its_response(
    settings: AdapterSettings,
) -> None:
    async with running_adapter(replace(settings, lame_duck_seconds=2.0)) as client:
        reader, writer = await asyncio.open_connection(*client.address)
        client.stop.set()
        while await accepts(client):
            pass
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.read()).endswith(b'{"status":"alive"}')
        writer.close()


async def accepts(client: AdapterClient) -> bool:
    try:
        _, writer = await asyncio.open_connection(*client.address)
        writer.close()
        await writer.wait_closed()
    except ConnectionError:
        return False
    return True


async def test_a_listening_socket_can_be_given(settings: AdapterSettings) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(settings, url.set_result, stop, listener=listener))
    assert (await url).endswith(f":{listener.getsockname()[1]}")
    stop.set()
    await serving


async def test_an_address_in_use_is_an_error(settings: AdapterSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="address already in use"):
            await serve(replace(settings, port=port), print, asyncio.Event())
