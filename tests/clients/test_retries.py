"""What a client does when a server fails it: which calls it repeats, and with which key."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.clients.conftest import CLIENTS_TO_RUN
from tests.clients.failing_server import DROPPED, SLOW, Answer, Failing, failing_server
from tests.clients.runners import Done, Runner, running

_KEY = "a-very-secret-api-key"
_CHARGED = Answer(
    200,
    '{"success":true,"transaction_id":"pi_1","amount":999999999999.99,"currency":"usd",'
    '"status":"succeeded","payment_id":"PAY-1","env":"TEST","gateway":"stripe","new":1.50}',
)
_READ = Answer(200, '{"success":true,"env":"TEST","stripe_public_key":"pk_test_1"}')


def _refused(status: int, code: str | None = None, **headers: str) -> Answer:
    body: dict[str, object] = {"success": False, "error": "Not now"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(body | ({"code": code} if code else {})), named)


@pytest.fixture(scope="module")
def server() -> Iterator[Failing]:
    with failing_server(time.monotonic) as failing:
        yield failing


@pytest.fixture(params=CLIENTS_TO_RUN, scope="module")
def client(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def patient(client: str, server: Failing, built: Path) -> Iterator[Runner]:
    with running(client, server.url, "BUS-1", _KEY, built) as runner:
        yield runner


@pytest.fixture(scope="module")
def hasty(client: str, server: Failing, built: Path) -> Iterator[Runner]:
    """A client with a second of patience."""
    with running(client, server.url, "BUS-1", _KEY, built, timeout_seconds=1.0) as runner:
        yield runner


def _charge(runner: Runner, key: str | None = None) -> Done:
    return runner.call("charge_customer", {"user_id": "USR-1", "amount": "999999999999.99"}, key)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        ([_refused(500), _refused(504, "OUTCOME_UNKNOWN")], 0.25 + 0.5),
        ([DROPPED, Answer(429, "<html>Too Many</html>", {"Retry-After": "1"})], 1.0),
    ],
    ids=["5xx", "no answer, then 429 of a proxy"],
)
def test_the_same_request_is_sent_until_it_is_answered(
    patient: Runner, server: Failing, failures: Sequence[Answer | str], seconds: float
) -> None:
    server.play([*failures, _CHARGED])
    done = _charge(patient)
    assert done.result is not None, done.shown
    assert done.result["amount"] == "999999999999.99"
    assert len(server.received) == len(failures) + 1
    first = server.received[0]
    assert first["amount"] == "999999999999.99"
    assert len(first["idempotency_key"]) >= 32
    assert all(sent == first for sent in server.received)
    assert len(set(server.request_ids)) == 1
    assert server.moments[-1] - server.moments[0] >= seconds * 0.99  # the waits at least


def test_every_call_has_a_key_of_its_own_unless_it_is_given_one_or_only_reads(
    patient: Runner, server: Failing
) -> None:
    server.play([_CHARGED])
    for key in (None, None, "order-1"):
        assert _charge(patient, key).result is not None
    first, second, own = (sent["idempotency_key"] for sent in server.received)
    assert first != second
    assert own == "order-1"
    server.play([_refused(500), _READ])
    assert patient.call("get_stripe_public_key", {}).result is not None
    assert ["idempotency_key" in sent for sent in server.received] == [False, False]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (_refused(402, "CARD_DECLINED"), "CARD_DECLINED"),
        (_refused(401), "INVALID_CREDENTIALS"),
        (_refused(501, "NOT_IMPLEMENTED"), "NOT_IMPLEMENTED"),
        (_refused(503, "SERVICE_UNAVAILABLE", Retry_After="40"), "SERVICE_UNAVAILABLE"),
    ],
)
def test_what_would_be_refused_again_or_too_late_is_not_repeated(
    patient: Runner, server: Failing, answer: Answer, code: str
) -> None:
    server.play([answer])
    done = _charge(patient, "order-1")
    assert done.error is not None
    assert (done.error["code"], done.error["http_status"]) == (code, answer.status)
    assert (done.error["message"], done.error["idempotency_key"]) == ("Not now", "order-1")
    assert done.error["retry_after"] == (40 if "Retry-After" in answer.headers else None)
    assert done.error["outcome_is_unknown"] == (answer.status >= 500)
    assert len(server.received) == 1
    assert _KEY not in done.shown


@pytest.mark.parametrize(
    ("last", "is_unknown"),
    [
        (_refused(429, "RATE_LIMITED", Retry_After="40"), True),
        (_refused(401), True),
        (_refused(402, "CARD_DECLINED"), False),
    ],
)
def test_after_a_try_without_an_answer_only_an_outcome_makes_it_known(
    patient: Runner, server: Failing, last: Answer, is_unknown: bool
) -> None:
    server.play([DROPPED, last])
    done = _charge(patient)
    assert done.error is not None
    assert done.error["http_status"] == last.status
    assert done.error["outcome_is_unknown"] == is_unknown


def _says_the_key_to_ask_again_with(done: Done, server: Failing, kind: str) -> int:
    """Check the error, and return how often its request arrived."""
    assert done.error is not None
    assert done.error["kind"] == kind
    assert done.error["outcome_is_unknown"]
    assert _KEY not in done.shown
    mine = [
        sent["idempotency_key"]
        for sent, request_id in zip(server.received, server.request_ids, strict=True)
        if request_id == done.error["request_id"]
    ]
    assert set(mine) == {done.error["idempotency_key"]}
    return len(mine)


@pytest.mark.parametrize(("does", "least"), [(SLOW, 1), (DROPPED, 2)])
def test_where_no_answer_came_in_time_the_error_says_the_key_to_ask_again_with(
    hasty: Runner, server: Failing, does: str, least: int
) -> None:
    server.play([does])
    assert _says_the_key_to_ask_again_with(_charge(hasty), server, "ConnectionFailed") >= least


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, "<html>Welcome</html>"),
        Answer(200, '{"success":true}'),
        Answer(302, "", {"Location": "/elsewhere"}),
    ],
    ids=["no JSON", "fields missing", "a redirect"],
)
def test_what_is_no_answer_of_the_api_is_an_error_and_not_sent_again(
    patient: Runner, server: Failing, answer: Answer
) -> None:
    server.play([answer])
    assert _says_the_key_to_ask_again_with(_charge(patient), server, "UnexpectedAnswer") == 1
