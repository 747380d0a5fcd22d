import asyncio
import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from cli import logs
from rpc.catalogue import secret_names
from rpc.metadata import request_id
from rpc.request_log import log_request


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs._AT_LEAST}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, least in levels.items():
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(capture=False)
    logging.raiseExceptions = True


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_is_json_with_its_request_id() -> None:
    stream = io.StringIO()
    logs.configure("core", stream)
    logging.getLogger("core.x").info("a %s\nb", "1", extra={"user_id": "USR-1"})
    token = request_id.set("REQ-7")
    try:
        logging.getLogger("core.x").warning("c")
    finally:
        request_id.reset(token)
    first, second = _lines(stream)
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "INFO",
        "process": "core",
        "logger": "core.x",
        "request_id": "-",
        "message": "a 1\nb",
        "user_id": "USR-1",
    }
    assert (second["request_id"], second["level"]) == ("REQ-7", "WARNING")


def test_a_line_has_the_same_keys_first_and_values_of_any_type() -> None:
    stream = io.StringIO()
    logs.configure("core", stream)
    extra = {"due_at": datetime(2024, 2, 29, tzinfo=UTC), "amount": Decimal("1.50")}
    logging.getLogger("core").info("due", extra=extra)
    assert re.fullmatch(
        r'\{"time": "[^"]{23}Z", "level": "INFO", "process": "core", "logger": "core", '
        r'"request_id": "-", "message": "due", "due_at": "2024-02-29T00:00:00\+00:00", '
        r'"amount": "1.50"\}\n',
        stream.getvalue(),
    )


def test_fields_with_the_name_of_a_secret_are_redacted() -> None:
    stream = io.StringIO()
    logs.configure("core", stream)
    extra = dict.fromkeys(secret_names(), "4242") | {"user_id": "USR-1"}
    logging.getLogger("core").warning("card declined", extra=extra)
    (line,) = _lines(stream)
    assert "4242" not in line.values()
    assert (line["card_number"], line["user_id"]) == ("(redacted)", "USR-1")


@pytest.mark.parametrize(
    ("level", "fields"),
    [
        (logging.INFO, {"method": "POST", "status": 200, "milliseconds": 1.5, "action": None}),
        (logging.INFO, {"action": 'a"\n\u2028é', "business_id": "\ud800"}),
        (logging.INFO, dict.fromkeys(secret_names(), "value")),
        (logging.WARNING, {"amount": Decimal("1.50")}),
        (logging.DEBUG, {"below": "the level"}),
    ],
    ids=["plain", "escaped", "redacted", "warning", "below_the_level"],
)
def test_a_line_of_a_request_is_what_a_record_is_written_as(
    level: int, fields: dict[str, object]
) -> None:
    stream = io.StringIO()
    logs.configure("core", stream)
    log_request(logging.getLogger("core"), level, "call", fields)
    logging.getLogger("core").log(level, "call", extra=fields)
    lines = [re.sub(r'"time": "[^"]+Z"', "", line) for line in stream.getvalue().splitlines()]
    assert lines == lines[:1] * (0 if level == logging.DEBUG else 2)


@pytest.mark.parametrize("name", ["", "core"], ids=["of_the_root", "of_the_logger"])
def test_other_handlers_get_a_record_of_each_request(name: str) -> None:
    class Records(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(vars(record)["code"])

    found: list[str] = []
    stream, other = io.StringIO(), Records()
    logs.configure("core", stream)
    logging.getLogger(name).addHandler(other)
    log_request(logging.getLogger("core"), logging.INFO, "call", {"code": "OK"})
    logging.getLogger(name).removeHandler(other)
    assert found == [line["code"] for line in _lines(stream)] == ["OK"]


def test_an_exception_is_one_line() -> None:
    stream = io.StringIO()
    logs.configure("core", stream)
    try:
        os.environ["NO_SUCH_VARIABLE"]
    except KeyError:
        logging.getLogger("core").exception("failed")
    (line,) = _lines(stream)
    assert line["exc_info"].endswith("KeyError: 'NO_SUCH_VARIABLE'")


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING"])
def test_libraries_never_log_cards_or_rows(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIVISCO_LOG_LEVEL", level)
    stream = io.StringIO()
    logs.configure("core", stream)
    for name in ("stripe", "aiosqlite", "asyncio", "aiohttp.access", "sqlalchemy.engine"):
        logging.getLogger(name).debug("4242")
    logging.getLogger("aiosqlite").info("4242")
    logging.getLogger("sqlalchemy.engine").info("4242")
    assert "4242" not in stream.getvalue()


def test_stripes_own_log_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_LOG", "debug")
    logs.configure("core", io.StringIO())
    assert "STRIPE_LOG" not in os.environ


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="DEBUG, INFO, WARNING"):
        logs.level_of({"NIVISCO_LOG_LEVEL": "loud"})
    assert logs.level_of({"NIVISCO_LOG_LEVEL": ""}) == logging.INFO
    assert logs.level_of({"NIVISCO_LOG_LEVEL": "debug"}) == logging.DEBUG


def test_uncaught_exceptions_are_json_lines() -> None:
    program = """
import threading
from cli import logs
logs.configure("core")
def fail():
    raise RuntimeError("in a thread")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
raise RuntimeError("in the main thread")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=20
    )
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert ended.returncode == 1
    assert [line["level"] for line in lines] == ["CRITICAL", "CRITICAL"]
    assert "in a thread" in lines[0]["exc_info"]
    assert "in the main thread" in lines[1]["exc_info"]


class Writes(io.StringIO):
    """A stream that counts what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)

    def messages(self) -> list[str]:
        return [line["message"] for line in _lines(self)]


async def test_the_lines_of_one_turn_of_the_loop_are_one_write_in_order() -> None:
    stream = Writes()
    logs.configure("core", stream)
    for message in ("a", "b", "c"):
        logging.getLogger("core").info(message)
    assert stream.messages() == []
    await asyncio.sleep(0)
    assert (stream.messages(), stream.writes) == (["a", "b", "c"], 1)
    logging.getLogger("core").info("d")
    await asyncio.sleep(0)
    assert (stream.messages(), stream.writes) == (["a", "b", "c", "d"], 2)


async def test_a_warning_is_written_at_once_after_what_waits() -> None:
    stream = Writes()
    logs.configure("core", stream)
    logging.getLogger("core").info("a")
    logging.getLogger("core").warning("b")
    assert (stream.messages(), stream.writes) == (["a", "b"], 1)
    logging.getLogger("core").info("c")
    await asyncio.sleep(0)
    assert stream.messages() == ["a", "b", "c"]


async def test_a_line_of_a_thread_is_written_at_once_after_what_waits() -> None:
    stream = Writes()
    logs.configure("core", stream)
    logging.getLogger("core").info("a")
    await asyncio.to_thread(logging.getLogger("core").info, "b")
    assert stream.messages() == ["a", "b"]


async def test_lines_below_the_level_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIVISCO_LOG_LEVEL", "WARNING")
    stream = Writes()
    logs.configure("core", stream)
    logging.getLogger("core").info("a")
    await asyncio.sleep(0)
    assert stream.writes == 0


async def test_a_stream_that_cannot_be_written_stops_nothing() -> None:
    stream = Writes()
    logs.configure("core", stream)
    stream.close()
    logging.getLogger("core").info("a")
    logging.getLogger("core").error("b")
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    "ending", ["sys.exit(3)", "raise RuntimeError", "stop.set(); _stop_or_exit(stop, 15)"]
)
def test_the_lines_of_the_last_turn_are_written_before_the_process_exits(ending: str) -> None:
    program = f"""
import asyncio, logging, sys
from cli import logs
from cli.foreground import _stop_or_exit
logs.configure("core")
async def main():
    stop = asyncio.Event()
    logging.getLogger("core").info("last words")
    {ending}
asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=20
    )
    assert ended.returncode != 0
    assert json.loads(ended.stderr.splitlines()[0])["message"] == "last words"
