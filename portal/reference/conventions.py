"""The rules that apply to every action, with the numbers of the code."""

from portal.reference.model import (
    Convention,
    Field,
    Kind,
    Limits,
)
from rpc.catalogue import IDEMPOTENCY_KEY
from transcoding.actions import (
    ACTION_KEY,
    API_KEY_KEY,
    BUSINESS_ID_KEY,
)
from transcoding.envelope import CREDENTIAL_PATTERN, IDEMPOTENCY_HEADER, MAX_BODY_BYTES
from transcoding.money import MAX_INTEGER_DIGITS

_CREDENTIAL = Limits(
    pattern=f"^{CREDENTIAL_PATTERN}$",
    pattern_sentence="must be 1 to 128 printable characters without spaces",
)

ENVELOPE = (
    Field(
        BUSINESS_ID_KEY,
        BUSINESS_ID_KEY,
        Kind.STRING,
        "Id of the calling business.",
        required=True,
        limits=_CREDENTIAL,
    ),
    Field(
        API_KEY_KEY,
        API_KEY_KEY,
        Kind.STRING,
        "API key of the business. Keep it on a server, never in a browser or an app.",
        required=True,
        limits=_CREDENTIAL,
    ),
    Field(
        ACTION_KEY,
        ACTION_KEY,
        Kind.STRING,
        "Name of the action. Its own fields are beside these.",
        required=True,
    ),
)

CONVENTIONS = (
    Convention(
        "transport",
        "Transport",
        (
            "Every request is a `POST` of one JSON object to one URL over HTTPS, with "
            f"`Content-Type: application/json` and at most {MAX_BODY_BYTES // 1024} KiB. Other "
            "methods get 405.",
            f"`{BUSINESS_ID_KEY}`, `{API_KEY_KEY}` and `{ACTION_KEY}` are beside the action's own "
            "fields. There are no authentication headers.",
            "A success is a 200 with `success` true. Every other status has `success` false, "
            "`error`, a human-readable message, and usually `code`, one of the reasons below. The "
            "header `X-Error-Code` has the code of every error, also where the body has none.",
            "Every response has an `X-Request-Id` header to quote to support. To choose the id, "
            "send the header with up to 64 letters, digits, dots, dashes and underscores.",
            "Unknown fields are rejected by name. A field that is `null` counts as absent, except "
            "in an update: there `null` clears a field that is marked so.",
            "Responses may get new fields, and `code` new reasons. Ignore those that you do not "
            "know.",
        ),
    ),
    Convention(
        "idempotency",
        "Idempotency",
        (
            f"Every action that changes anything accepts an `{IDEMPOTENCY_KEY}` of 1 to 64 "
            "printable ASCII characters. For 24 hours, requests with the same key take effect "
            "once.",
            f"The header `{IDEMPOTENCY_HEADER}` means the same as the field. If both are sent and "
            "differ, the request is rejected.",
            "Repeating the same request returns the first response, byte for byte, with the "
            "header `Idempotency-Replayed: true`. A different request or action with the same key "
            "gets 422 `IDEMPOTENCY_KEY_REUSED`. A field with a default, such as `env`, `gateway` "
            "or `currency`, may be left out in one and named in the other: what counts is what the "
            "first request resolved, even if the default has changed since. While the first "
            "request is in progress, the repeated one waits for its response.",
            "A 402 is an outcome and is repeated, too: to charge a declined card again, use a new "
            "key. `OUTCOME_UNKNOWN` and `GATEWAY_UNAVAILABLE` leave the key with its charge, and "
            "the same request continues it. Any other error leaves the key free: when its cause "
            "is gone, the same request succeeds.",
            f"Reads accept an `{IDEMPOTENCY_KEY}` and do not use it.",
        ),
    ),
    Convention(
        "retries",
        "Timeouts and retries",
        (
            "Use a timeout of 30 seconds. Repeat a request that got no response, or a 5xx, with "
            "exponential backoff from 250 ms. If there is a `Retry-After` header, wait that many "
            "seconds.",
            f"Repeat the same request with the same `{IDEMPOTENCY_KEY}`. A 504 `OUTCOME_UNKNOWN` "
            "means that it may have taken effect; with the same key it does not take effect twice. "
            "Without a key, only a card charge may be repeated, within 30 minutes: the same "
            "request resumes it. For any other action, or later, read the records first.",
            "A 504 without `Retry-After` is final: the gateway never showed the charge. Look for "
            "the payment in its dashboard.",
            "Do not repeat a 4xx unchanged, except 408 and 429.",
        ),
    ),
    Convention(
        "money",
        "Money",
        (
            "An amount is a JSON number or a decimal string such as `25.50`. It is greater than "
            f"zero, with at most {MAX_INTEGER_DIGITS} digits before the decimal point and no more "
            "decimals than its currency has. Amounts are exact: use a decimal type, not a float.",
            "`currency` is beside the amount: an ISO 4217 code in upper or lower case, in "
            "responses in lower case. It defaults to the currency of the user's wallet.",
        ),
    ),
    Convention(
        "metadata",
        "Metadata",
        (
            "Users, payments, refunds, recurring jobs and wallet holds keep `metadata`: up to 20 "
            'strings by keys of your own, such as `{"order_id": "6735"}`. Every response with '
            "the resource has it, `{}` if it is empty. A list with `metadata` of one pair has "
            "the resources with that pair.",
            "An update replaces all pairs; `null` or `{}` remove them. The payments of a "
            "recurring job have those that the job had when they began.",
            "No card number and no secret belongs in it. Payments and refunds send it to their "
            "gateway; Authorize.Net forbids personal data there, and suspends merchants for it.",
        ),
    ),
    Convention(
        "dates",
        "Dates",
        (
            "Requests contain ISO 8601 dates and date-times, in UTC unless they have an offset. A "
            "`to_date` without a time includes that day, and one without a fraction of a second "
            "includes that second.",
            "Responses contain `YYYY-MM-DD HH:MM:SS` in UTC.",
        ),
    ),
    Convention(
        "pagination",
        "Pagination",
        (
            "Lists accept `page`, from 1, and `limit`, 1 to 100, by default 25. The newest "
            "entries come first.",
            "`count` is the number of entries on the page, `total` the number on all pages. "
            "`from_date` and `to_date` restrict a list to a period.",
            "`next_cursor` is the `cursor` of the next page, `null` on the last one. Send it in "
            "place of `page`, with the same filters: entries that are created meanwhile do not "
            "shift the pages, and every page is as fast as the first. `page` counts from the "
            "newest entry at each request. In a list of more than 10,000 it can pass over 100,000 "
            "entries, or 1,000,000 payments, users or wallet transactions without a filter.",
            "`total` is exact up to 10,000. In a longer list `total_is_estimate` is `true`, and "
            "`total` is an estimate that is always greater than the number of entries up to this "
            "page while there are more.",
        ),
    ),
    Convention(
        "environments",
        "Environments",
        (
            "`env` is `TEST` or `LIVE`. Every wallet, customer, card, payment and job belongs to "
            "one environment, so that test money never becomes real.",
            "It defaults to the business's default environment: `TEST` until LIVE keys of a "
            "gateway are stored, `LIVE` from then on.",
        ),
    ),
    Convention(
        "recurring",
        "Recurring charges",
        (
            "The calendar of a job begins with `start_at`. Without an offset it is a wall-clock "
            "time in `timezone`, and charges keep that wall-clock time across daylight saving "
            "time. A day that a month does not have becomes its last day. Occurrences in the past "
            "are not charged.",
            "A declined charge is retried after 1, 3 and 7 days, unless the decline is final or "
            "the next charge is due. Three failed cycles in a row pause the job; `paused_reason` "
            "says so. `retry_days` and `max_failed_cycles` change both numbers: of a job at its "
            "creation and update, and of all jobs that leave them open at `modify_business`.",
            "`retry_recurring` charges the open or last failed cycle at once, for example when the "
            "customer has saved another card. `skip_next` leaves the next date out.",
            "After the response of `pause_recurring` or `cancel_recurring` no charge starts. A "
            "charge that was already submitted completes; `get_recurring_logs` shows its outcome.",
        ),
    ),
    Convention(
        "webhooks",
        "Webhooks",
        (
            "In Stripe, add the endpoint `/webhooks/stripe/<business_id>` of this host; in "
            "Authorize.Net, `/webhooks/authorize/<business_id>`. Store the signing secret as "
            "`stripe_webhook_secret` or `signature_key`.",
            "Payments then follow the gateway: completed authentication, refunds, disputes, voids "
            "and finished reviews. Each event is applied once, in any order.",
            "A stored response does not change: repeating a request returns the first one. "
            "`get_payment_records` shows the current status of a payment.",
        ),
    ),
)
