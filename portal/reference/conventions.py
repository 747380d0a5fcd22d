"""Says what holds for every action, with the numbers that the code keeps."""

from portal.reference.model import (
    Convention,
    Field,
    Kind,
    Limits,
)
from transcoding.actions import (
    ACTION_KEY,
    API_KEY_KEY,
    BUSINESS_ID_KEY,
    IDEMPOTENCY_KEY,
)
from transcoding.envelope import CREDENTIAL_PATTERN, MAX_BODY_BYTES
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
        "The id of the calling business.",
        required=True,
        limits=_CREDENTIAL,
    ),
    Field(
        API_KEY_KEY,
        API_KEY_KEY,
        Kind.STRING,
        "The API key of the business. It belongs on a server, never into a browser or an app.",
        required=True,
        limits=_CREDENTIAL,
    ),
    Field(
        ACTION_KEY,
        ACTION_KEY,
        Kind.STRING,
        "The name of the action. Its fields stand beside these.",
        required=True,
    ),
)

CONVENTIONS = (
    Convention(
        "transport",
        "Transport",
        (
            "Every request is a `POST` of one JSON object to one URL, by HTTPS, with "
            "`Content-Type: application/json` and at most "
            f"{MAX_BODY_BYTES // 1024} KiB. Another method is answered 405.",
            f"`{BUSINESS_ID_KEY}`, `{API_KEY_KEY}` and `{ACTION_KEY}` stand beside the action's "
            "own fields. There are no authentication headers.",
            "A success is answered 200 with `success` true. Any other status comes with `success` "
            "false, `error`, a sentence for a person, and mostly `code`, one of the reasons below.",
            "Every answer has an `X-Request-Id` to quote to support. Send your own, up to 64 "
            "letters, digits, dots, dashes and underscores, and it is kept.",
            "Unknown fields are refused by name. A field that is `null` counts as absent.",
            "Answers may get new fields and `code` new reasons; ignore what you do not know.",
        ),
    ),
    Convention(
        "idempotency",
        "Idempotency",
        (
            f"Every action that changes something takes an `{IDEMPOTENCY_KEY}` of 1 to 64 "
            "printable characters. For 24 hours one key of a business is one effect and one "
            "answer.",
            "The same request again is answered byte for byte as before, with the header "
            "`Idempotency-Replayed: true`. Another request or action under the key is answered 422 "
            "`IDEMPOTENCY_KEY_REUSED`. A request that is still running is joined.",
            "Refusals that are an outcome (402, 404, 409) are repeated too: a declined card is "
            "charged again under a new key.",
            f"Actions that only read accept an `{IDEMPOTENCY_KEY}` and have no use for it.",
        ),
    ),
    Convention(
        "retries",
        "Timeouts and retries",
        (
            "Wait 30 seconds for an answer. Repeat a request that got none, or a 5xx, with "
            "exponential backoff from 250 ms; where there is a `Retry-After` header, wait as long "
            "as it says.",
            f"Repeat the same request with the same `{IDEMPOTENCY_KEY}`. No outcome is guessed: a "
            "504 `OUTCOME_UNKNOWN` means that the charge may have happened. The same request "
            "resumes it, and it is never charged twice.",
            "Do not repeat a 4xx unchanged, except 429.",
        ),
    ),
    Convention(
        "money",
        "Money",
        (
            "An amount is a JSON number or a decimal string such as `25.50`, above zero, with at "
            f"most {MAX_INTEGER_DIGITS} digits before the decimal point and no more decimals than "
            "its currency has. It is never passed through a float here; use a decimal type there.",
            "`currency` stands beside the amount: ISO 4217 in either case, answered in lower case. "
            "Absent, it is the currency of the user's wallet.",
        ),
    ),
    Convention(
        "dates",
        "Dates",
        (
            "Requests take ISO 8601 dates and date-times, in UTC unless they have an offset. "
            "`to_date` without a time includes that day.",
            "Answers show `YYYY-MM-DD HH:MM:SS` in UTC.",
        ),
    ),
    Convention(
        "pagination",
        "Pagination",
        (
            "Lists take `page`, from 1, and `limit`, 1 to 100, 25 if absent, newest first.",
            "`count` is how many this page holds, `total` how many there are in all. `from_date` "
            "and `to_date` narrow a list.",
        ),
    ),
    Convention(
        "environments",
        "Environments",
        (
            "`env` is `TEST` or `LIVE`. Wallets, customers, cards, payments and jobs belong to "
            "one, so that test money never becomes real.",
            "Absent, it is the business's default: `TEST` until LIVE keys of any gateway are "
            "stored, and `LIVE` from then on.",
        ),
    ),
    Convention(
        "recurring",
        "Recurring charges",
        (
            "A job's calendar begins with `start_at`, without an offset by the wall clock of "
            "`timezone`, and keeps that clock across daylight saving time. A day that a month "
            "lacks is its last one. What lies before now is not charged.",
            "A declined charge is tried again 1, 3 and 7 days later, unless the decline is final "
            "or the next charge comes first. Three failed cycles in a row pause the job.",
            "After `pause_recurring` or `cancel_recurring` is answered no charge starts. One that "
            "was submitted before ends, and `get_recurring_logs` tells how.",
        ),
    ),
    Convention(
        "webhooks",
        "Webhooks",
        (
            "Have Stripe send its events to `/webhooks/stripe/<business_id>` of this host, and "
            "Authorize.Net to `/webhooks/authorize/<business_id>`, and store what they sign with: "
            "`stripe_webhook_secret` or `signature_key`.",
            "Payments then follow their gateway: authentication that a customer completes, "
            "refunds, disputes, voids, and reviews that end. Each event counts once, in any order.",
            "What a request was answered stays so under its key; what became of the payment is in "
            "`get_payment_records`.",
        ),
    ),
)
