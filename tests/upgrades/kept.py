"""A kept database: what is in its folder, and how it is loaded."""

import base64
import json
import sqlite3
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import asyncpg
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from rpc.errors import CoreError
from tests.core.running import METHODS, Business

FOLDER = Path(__file__).parent
SQLITE, POSTGRESQL, SANDBOX, EXPECTED = "sqlite.sql", "postgresql.sql", "sandbox.sql", "kept.json"
DUE_AFTER = timedelta(minutes=10)
"""When jobs are due and the short hold expires, after the database is made."""
KEYRING = "k1:" + base64.b64encode(b"obviously-fake-key-of-a-test-db!").decode()


@dataclass(slots=True)
class Answer:
    """A call under an idempotency key, and its final answer."""

    method: str
    request: str
    """Serialized, in Base64."""
    answer: str
    """The serialized response, in Base64, or the error's reason and message."""

    def request_message(self) -> Message:
        """Return the request."""
        request: Message = GetMessageClass(METHODS[self.method].input_type)()
        request.ParseFromString(base64.b64decode(self.request))
        return request


@dataclass(slots=True)
class Expected:
    """What the scenario made, besides the rows."""

    kept_at: str
    business_id: str
    api_key: str
    second_api_key: str
    login_id: str
    user_id: str
    recurring_ids: list[str]
    hold_id: str
    expired_hold_id: str
    authorized_payment_id: str
    action_payment_id: str
    refund_id: str = ""
    answers: list[Answer] = field(default_factory=list)
    """Calls with a final answer."""
    open: list[Answer] = field(default_factory=list)
    """Calls whose payment has no outcome yet; the answer is the last error."""

    @property
    def moment(self) -> datetime:
        """When the database was kept."""
        return datetime.fromisoformat(self.kept_at)

    def write(self, folder: Path) -> None:
        """Write it into the folder."""
        (folder / EXPECTED).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read it from the folder."""
        found: dict[str, Any] = json.loads((folder / EXPECTED).read_text())
        answers = {name: [Answer(**each) for each in found[name]] for name in ("answers", "open")}
        return cls(**(found | answers))


async def answer_to(business: Business, request: Message) -> Answer:
    """Call the core and return the call with its answer, whatever it is."""
    method = request.DESCRIPTOR.name.removesuffix("Request")
    try:
        response = await business.call(request)
        answer = base64.b64encode(response.SerializeToString(deterministic=True)).decode()
    except CoreError as error:
        answer = f"{error.reason}: {error.message}"
    sent = base64.b64encode(request.SerializeToString(deterministic=True)).decode()
    return Answer(method, sent, answer)


def folders() -> list[Path]:
    """Return the folders of all kept databases, oldest first."""
    return sorted(path.parent for path in FOLDER.glob(f"*/{EXPECTED}"))


def load_sqlite(text: Path, path: Path) -> None:
    """Create a SQLite file from its text."""
    connection = sqlite3.connect(path)
    connection.executescript(text.read_text())
    connection.close()


async def load_postgresql(text: Path, url: str) -> None:
    """Fill an empty PostgreSQL database from its text."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(text.read_text())
    finally:
        await connection.close()
