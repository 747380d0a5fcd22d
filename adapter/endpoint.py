"""Answers the one public URL: envelope in, one call to the core, answer out.

It holds no rule about users, cards or money; what a field may hold beyond its type is the core's.
"""

import logging
import re
from collections.abc import Mapping

import grpc
from aiohttp import web
from google.protobuf.message import Message

from adapter.body import BodyTooLarge, read_body
from adapter.settings import AdapterSettings
from rpc.client import CoreClient, CoreResponse
from rpc.error_details import FieldProblem
from rpc.errors import CoreError
from rpc.metadata import request_id
from rpc.update_mask import UPDATE_MASK
from transcoding import answers
from transcoding.actions import ACTION_KEY, IDEMPOTENCY_KEY, Action
from transcoding.answers import Answer
from transcoding.envelope import CredentialsMalformed, CredentialsMissing, Envelope, read_envelope
from transcoding.parsing import InvalidJson
from transcoding.problems import Problems, did_you_mean
from transcoding.requests import NOT_A_STRING

logger = logging.getLogger("adapter")

VALIDATE_BUSINESS = "validate_business"
"""The action that proves credentials and does nothing else."""
_KEY = re.compile(r"[ -~]{1,64}")
_MAYBE_UNAUTHENTICATED = frozenset(
    {"INVALID_CREDENTIALS", "INTERNAL", "SERVICE_UNAVAILABLE", "OUTCOME_UNKNOWN"}
)
"""Reasons that a call may end with before its credentials were found to hold."""


class NoSuchAction(Exception):
    """The envelope's action is absent or unknown."""


class RefusalExpected(RuntimeError):
    """The core executed a request that was sent with field problems. A fault of ours."""


class MaskRefused(RuntimeError):
    """The core refused an update mask, which no client of the JSON endpoint sends. Ours, too."""


class Endpoint:
    """Carries out envelopes on a core, so many at once and no more."""

    def __init__(
        self, core: CoreClient, catalogue: Mapping[str, Action], settings: AdapterSettings
    ) -> None:
        self._core = core
        self._catalogue = catalogue
        self._settings = settings
        self._in_flight = 0

    async def answer(self, request: web.Request, noted: dict[str, str]) -> Answer:
        """Return the answer to one POST; notes `action` and `business_id` for the log.

        The body is read as JSON whatever its Content-Type says: clients that set none lose nothing,
        and the envelope's own credentials leave a browser no way to act for anybody.

        Only requests whose body has arrived count against the bound on requests in flight, so that
        slow senders cannot lock others out.
        """
        try:
            body = await read_body(
                request.content,
                request.content_length,
                timeout_seconds=self._settings.body_timeout_seconds,
            )
            if self._in_flight >= self._settings.max_in_flight:
                return answers.refusal(
                    "RATE_LIMITED", "Too many requests at once", retry_after_seconds=1
                )
            envelope = read_envelope(body)
        except BodyTooLarge:
            return answers.refusal("BODY_TOO_LARGE", "The request body is larger than 64 KiB")
        except InvalidJson:
            return answers.INVALID_JSON
        except CredentialsMissing:
            return answers.CREDENTIALS_MISSING
        except CredentialsMalformed:
            return answers.CREDENTIALS_INVALID
        self._in_flight += 1
        try:
            return await self._carry_out(envelope, noted)
        finally:
            self._in_flight -= 1

    async def _carry_out(self, envelope: Envelope, noted: dict[str, str]) -> Answer:
        action = self._catalogue.get(envelope.action) if isinstance(envelope.action, str) else None
        if action is None:
            return await self._refuse_action(envelope, noted)
        noted["action"] = action.name
        problems = Problems()
        if not action.mutates:
            _check_unused_key(envelope.fields, problems)
        message = action.read(envelope.fields, "", problems)
        try:
            response = await self._call(action, message, envelope, problems, noted)
        except CoreError as error:
            return _refused(error, action, problems)
        if problems.found:
            raise RefusalExpected(action.name)
        return Answer(200, action.write(response.message), is_replayed=response.is_replayed)

    async def _call(
        self,
        action: Action,
        message: Message,
        envelope: Envelope,
        problems: Problems,
        noted: dict[str, str],
    ) -> CoreResponse:
        """Call the core; notes the business once the core has shown that the credentials hold.

        Not earlier: a client that mixes its two credentials up would have its key in our log.
        """
        try:
            response = await self._core.send(
                action.method,
                message,
                envelope.credentials,
                timeout_seconds=self._settings.core_timeout_seconds,
                field_problems=problems.to_send(),
            )
        except CoreError as error:
            if error.reason not in _MAYBE_UNAUTHENTICATED:
                noted["business_id"] = envelope.credentials.business_id
            raise
        noted["business_id"] = envelope.credentials.business_id
        return response

    async def _refuse_action(self, envelope: Envelope, noted: dict[str, str]) -> Answer:
        """Refuse an absent or unknown action, unless the credentials are wrong, which wins."""
        validate = self._catalogue[VALIDATE_BUSINESS]
        problems = Problems()
        try:
            message = validate.read({}, "", problems)
            await self._call(validate, message, envelope, problems, noted)
        except CoreError as error:
            return _refused(error, validate, problems)
        name = envelope.action
        if isinstance(name, str) and name:
            return answers.refusal(
                "UNKNOWN_ACTION", "Unknown action" + did_you_mean(name, self._catalogue)
            )
        problems.add_invalid(
            ACTION_KEY, name, "is required" if name in (None, "") else NOT_A_STRING
        )
        return answers.invalid_fields(problems.found)


def _check_unused_key(fields: dict[str, object], problems: Problems) -> None:
    """Take the idempotency key out of a request that changes nothing, checked all the same.

    The reference allows the key in every envelope; a read is idempotent without it.
    """
    key = fields.pop(IDEMPOTENCY_KEY, None)
    if key is not None and not (isinstance(key, str) and _KEY.fullmatch(key)):
        wrong = "must be 1 to 64 printable characters" if isinstance(key, str) else NOT_A_STRING
        problems.add_invalid(IDEMPOTENCY_KEY, key, wrong)


def _refused(error: CoreError, action: Action, problems: Problems) -> Answer:
    if error.reason == "INVALID_FIELDS":
        added = [problem for problem in error.fields if problem not in problems.found]
        if any(problem.field == UPDATE_MASK for problem in added):
            raise MaskRefused(action.name)
        found = [FieldProblem(action.json_path(p.field), p.description) for p in added]
        joined = problems.joined_with(found)
        if joined:
            return answers.invalid_fields(joined)
    return answers.core_refusal(_as_the_action_sees_it(error, action), request_id.get())


def _as_the_action_sees_it(error: CoreError, action: Action) -> CoreError:
    """Return the refusal with a reason that fits the action, where gRPC itself gave the status."""
    if error.code is grpc.StatusCode.UNIMPLEMENTED and error.reason == "INTERNAL":
        return CoreError("NOT_IMPLEMENTED", f"{action.name} is not there yet", code=error.code)
    if error.reason == "OUTCOME_UNKNOWN" and not action.mutates:
        return CoreError(
            "SERVICE_UNAVAILABLE",
            "The answer did not arrive. Send the same request again.",
            code=error.code,
            retry_after_seconds=1,
        )
    return error
