"""A mutating call and its answer, as an idempotency record stores them. No I/O."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import Message
from google.rpc import status_pb2

from core.caller import Caller
from core.errors import RETRY_SECONDS, Reason, Refusal, status_of
from core.idempotency.same_request import contents, may_be_same, resolved_env, with_env
from core.ids import new_request_id

Response = TypeVar("Response", bound=Message)

ANSWER_SCHEMA = 2
"""Version of the response messages that stored answers are written with.

1: before the resource messages. 2: one message for each resource. Fields kept their numbers from 1
to 2, so both are read alike; the pipeline's completions add the resource fields that 1 lacks. A
change that a plain read would get wrong needs a new number here and a conversion.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a call: its response, or the google.rpc.Status of a refusal."""

    payload: bytes = field(repr=False)
    is_refusal: bool
    schema: int = ANSWER_SCHEMA

    @classmethod
    def response(cls, message: Message) -> "Answer":
        """Return the answer with a response."""
        return cls(message.SerializeToString(deterministic=True), is_refusal=False)

    @classmethod
    def refusal(cls, refusal: Refusal) -> "Answer":
        """Return the answer with a refusal."""
        return cls(status_of(refusal).SerializeToString(deterministic=True), is_refusal=True)

    def status(self) -> status_pb2.Status:
        """Return the status of a refusal."""
        assert self.is_refusal, "a response has no status of its own"
        return status_pb2.Status.FromString(self.payload)

    @property
    def lacks_resources(self) -> bool:
        """Whether its response was stored before the resource messages."""
        return self.schema < 2

    def message(self, response_class: type[Response]) -> Response:
        """Return the response.

        Raises:
            Refusal: SERVICE_UNAVAILABLE when a newer version of the core wrote the answer.
        """
        assert not self.is_refusal, "a refusal has no response"
        if self.schema > ANSWER_SCHEMA:
            raise Refusal(
                Reason.ERROR_REASON_SERVICE_UNAVAILABLE,
                "The answer to this idempotency key was stored by a newer version of the service. "
                "Send the same request again.",
                retry_after_seconds=RETRY_SECONDS,
            )
        return response_class.FromString(self.payload)

    @classmethod
    def unpacked(cls, packed: bytes, *, schema: int | None) -> "Answer":
        """Return the answer that `packed` returned; schema None stands for 1."""
        return cls(packed[1:], is_refusal=packed[:1] == b"R", schema=schema or 1)

    def packed(self) -> bytes:
        """Return the answer as bytes to seal."""
        return (b"R" if self.is_refusal else b"A") + self.payload


class Replay(Exception):
    """The call has an answer already."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("the call has an answer already")
        self.answer = answer


@dataclass(eq=False, slots=True)
class IdempotentCall:
    """A mutating call as its record identifies it."""

    business_id: str
    sent_key: str | None
    """Idempotency key of the request."""
    key: str
    """Key of the record: `key:` and the sent key, or `call:` and an id of this call alone."""
    action: str
    """The method's name in the schema."""
    content: bytes = field(repr=False)
    """The request without its key and empty fields, with its environment as resolved, in
    deterministic serialization."""
    api_key_hash: str = field(repr=False)
    request: Message | None = field(default=None, repr=False)
    env: str | None = None
    """Environment that the request resolved to, or the first one with the key, once that is found.
    None if the action has none."""
    is_continued: bool = False
    """Whether an earlier run with the key ended without an outcome, or is running elsewhere."""
    is_kept: bool = False
    """Whether the answer is stored."""
    sealed_answer: str | None = field(default=None, repr=False)
    """The answer as this run seals it. Nonces make it different from that of any other run."""

    @property
    def record_key(self) -> tuple[str, str]:
        """`business_id` and `key`, the primary key of the record."""
        return self.business_id, self.key

    @property
    def is_keyed(self) -> bool:
        """Whether the caller sent a key."""
        return self.sent_key is not None

    def is_same_request_as(self, other: "IdempotentCall") -> bool:
        """Return whether action and content are equal."""
        return (self.action, self.content) == (other.action, other.content)

    def may_be_same_request_as(self, other: "IdempotentCall") -> bool:
        """Return whether the requests differ at most in fields that one of them leaves out."""
        if self.action != other.action or self.request is None or other.request is None:
            return False
        return may_be_same(self.request, other.request)


def call_of(caller: Caller, action: str, request: Message) -> IdempotentCall:
    """Return the call of an action. Its request has a field `idempotency_key`."""
    sent: str = request.idempotency_key  # type: ignore[attr-defined] # every mutating request has it
    env = resolved_env(request, caller.default_env)
    return IdempotentCall(
        business_id=caller.business_id,
        sent_key=sent or None,
        key=f"key:{sent}" if sent else f"call:{new_request_id()}",
        action=action,
        content=next(contents(with_env(request, env))),
        api_key_hash=caller.api_key_hash,
        request=request,
        env=env,
    )


_call: ContextVar[IdempotentCall] = ContextVar("call")


def current_call() -> IdempotentCall:
    """Return the mutating call of the running task."""
    return _call.get()


def set_call(call: IdempotentCall) -> None:
    """Set the mutating call of the running task."""
    _call.set(call)


def key_reused() -> Refusal:
    """Return the refusal of a key that was used for another request or action."""
    return Refusal(
        Reason.ERROR_REASON_IDEMPOTENCY_KEY_REUSED,
        "The idempotency key was used for another request; use a new one",
    )
