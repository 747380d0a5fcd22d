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
