"""`nivisco payments`, `refunds`, `queue` and `user` against a real `nivisco up` and its sandbox."""

import json
import signal
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.data_dir import DataDir
from cli.main import main
from cli.transports import post_json
from rpc.metadata import Credentials
from tests.processes import Running, Start, shown, start_up

STRIPE_KEY = "sk_test_operators_a"


def nivisco(*arguments: str, **variables: str) -> Result:
    unset = dict.fromkeys(("NIVISCO_CORE", "NIVISCO_SERVICE_TOKEN"))
    return CliRunner().invoke(main, arguments, env=unset | variables)


@dataclass
class Shop:
    """A merchant of a running `up`, with a card on the sandbox."""

    up: Running
    directory: DataDir
    core: list[str]
    url: str
    sandbox: str
    credentials: Credentials
    user_id: str = ""

    def post(self, action: str, **payload: Any) -> dict[str, Any]:
        """Send a request to the JSON endpoint."""
        who = self.credentials
        envelope = {"business_id": who.business_id, "api_key": who.api_key, "action": action}
        body: dict[str, Any] = json.loads(post_json(self.url, envelope | payload, 30.0).body)
        return body

    def control(self, path: str, method: str = "POST", **body: Any) -> None:
        """Call the sandbox's control endpoint."""
        request = urllib.request.Request(  # noqa: S310 - our own sandbox
            f"{self.sandbox}/_sandbox/{path}", json.dumps(body).encode() or None, method=method
        )
        with urllib.request.urlopen(request, timeout=20):  # noqa: S310
            pass

    def payments(self, *arguments: str) -> Result:
        """Run `nivisco payments`, again while a core looks at the payment."""
        return self.run("payments", *arguments)

    def run(self, *arguments: str) -> Result:
        """Run an operator's command, again while a core works on what it is about."""
        where = [*self.core, "--data-dir", str(self.directory.path)]
        while True:
            result = nivisco(*arguments, *where)
            if "Repeat the command in a few seconds" not in result.stderr:
                return result


@pytest.fixture
def shop(start: Start, tmp_path: Path) -> Shop:
    directory = DataDir(tmp_path / "data")
    up = start_up(start, directory.path)
    screen = up.wait_for("Ctrl-C stops everything.\n")
    endpoints, admin = directory.read_endpoints(), directory.read_admin()
    assert endpoints is not None
    assert endpoints.sandbox is not None
    assert admin is not None
    core = ["--core", shown(screen, "gRPC")]
    made = Shop(up, directory, core, endpoints.json, endpoints.sandbox, admin)
    registered = made.post(
        "register_business",
        new_business={"name": "n", "email": "a@n.example.com", "domain": "n.example.com"},
    )
    made.credentials = Credentials(registered["business_id"], registered["api_key"])
    keys = {"stripe_secret_key": STRIPE_KEY, "stripe_public_key": "pk_test_obviously_fake"}
    made.post("add_stripe_credentials", credentials={"env": "TEST"} | keys)
    created = made.post("create_user", user={"name": "Alicia", "email": "alicia@example.com"})
    made.user_id = created["user"]["user_id"]
    made.post("create_stripe_customer", user_id=made.user_id, payment_method_token="pm_card_visa")
    return made


def test_a_payment_whose_outcome_nobody_knows_is_shown_resolved_and_retried(shop: Shop) -> None:
    shop.control("faults", kind="reset_after", match={"path": "/v1/payment_intents"}, times=1000)
    answer = shop.post("fund_customer", user_id=shop.user_id, amount=50, idempotency_key="one")
    assert answer["code"] == "OUTCOME_UNKNOWN"
    payment_id = answer["payment_id"]
    shop.control("keys", key=STRIPE_KEY, revoked=True)
    shop.control("faults", method="DELETE")

    seen = shop.payments("show", payment_id)
    assert seen.exit_code == 0, seen.output
    assert f"{payment_id}: fund of 50 usd, pending\n" in seen.stdout
    assert "NO ANSWER: Stripe does not know the TEST secret key" in seen.stdout
    assert "one (no answer stored)" in seen.stdout
    as_json = json.loads(shop.payments("show", payment_id, "--json").stdout)
    assert (as_json["payment"]["status"], as_json["work"]["attempt"]) == ("pending", "unknown")
    assert [each["is_answered"] for each in as_json["gateway_findings"]] == [False]

    failed = ["resolve", payment_id, "--as", "failed", "--reason", "not charged", "--by", "ana"]
    refused = shop.payments(*failed)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "less than 180 seconds ago" in refused.stderr
    assert "--force decides all the same, and is recorded" in refused.stderr
    resolved = shop.payments(*failed, "--force")
    assert resolved.exit_code == 0, resolved.output
    assert f"{payment_id} is resolved as failed; it is failed.\n" in resolved.stdout
    assert "resolve as failed by ana, FORCED: not charged" in resolved.stdout
    assert "was resolved already as failed" in shop.payments(*failed, "--force").stdout

    shop.control("keys", key=STRIPE_KEY, revoked=False)
    retried = shop.payments("retry", payment_id, "--by", "bo")
    assert retried.exit_code == 0, retried.output
    assert f"{payment_id} is succeeded.\n" in retried.stdout
    assert "The card was charged." in retried.stdout
    refused = shop.payments(*failed, "--force")
    assert refused.exit_code == 1
    assert "The payment is succeeded: there is nothing to decide" in refused.stderr
    wallet = shop.post("get_user_wallet", user_id=shop.user_id)["wallet"]
    assert wallet["balance"] == 50
    history = shop.payments("show", payment_id).stdout
    assert history.index("by ana, FORCED") < history.index("retry by bo")
    for secret in (STRIPE_KEY, shop.credentials.api_key, "4242", "pm_card"):
        assert secret not in history + seen.stdout
    refund_of_unknown_outcome(shop, payment_id)
    doctor = nivisco("doctor", *shop.core, "--data-dir", str(shop.directory.path))
    assert doctor.exit_code == 0, doctor.stdout


def refund_of_unknown_outcome(shop: Shop, payment_id: str) -> None:
    """Lose a refund on its way to Stripe; show it, resolve it as failed, and ask again."""
    shop.control("faults", kind="reset_before", match={"path": "/v1/refunds"}, times=1000)
    answer = shop.post("refund_payment", payment_id=payment_id, amount=20, idempotency_key="two")
    assert answer["code"] == "OUTCOME_UNKNOWN"
    refund_id = answer["refund_id"]
    seen = shop.run("refunds", "show", refund_id)
    assert seen.exit_code == 0, seen.output
    assert f"{refund_id}: refund of 20 usd, pending\n" in seen.stdout
    assert "two (no answer stored)" in seen.stdout
    assert "NO ANSWER" in seen.stdout
    failed = ["refunds", "resolve", refund_id, "--as", "failed", "--reason", "lost", "--by", "ana"]
    refused = shop.run(*failed)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "less than 180 seconds ago" in refused.stderr
    assert "--force decides all the same, and is recorded" in refused.stderr
    resolved = shop.run(*failed, "--force")
    assert resolved.exit_code == 0, resolved.output
    assert f"{refund_id} is resolved as failed; it is failed.\n" in resolved.stdout
    assert "resolve as failed by ana, FORCED: lost" in resolved.stdout
    assert "was resolved already as failed" in shop.run(*failed).stdout
    assert shop.post("get_user_wallet", user_id=shop.user_id)["wallet"]["balance"] == 50
    shop.control("faults", method="DELETE")
    retried = shop.run("refunds", "retry", refund_id, "--by", "bo")
    assert f"{refund_id} is failed.\n" in retried.stdout
    assert "The gateway shows no refund with our id." in retried.stdout
    as_json = json.loads(shop.run("refunds", "show", refund_id, "--json").stdout)
    assert [each["action"] for each in as_json["decisions"]] == ["resolve", "retry"]


def test_a_person_is_exported_and_erased(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.user.PAGE_LIMIT", 2)
    funded = shop.post("fund_customer", user_id=shop.user_id, amount=50.25)
    assert funded["success"], funded
    for _ in range(4):  # three pages
        shop.post("charge_wallet", user_id=shop.user_id, amount=0.01)
    paid = shop.post("get_payment_records", user_id=shop.user_id)["payments"][0]["payment_id"]
    shop.post("refund_payment", payment_id=paid, allow_receivable=True, idempotency_key="r")
    key = {"NIVISCO_API_KEY": shop.credentials.api_key}
    export = ["user", "export", shop.user_id, "--url", shop.url]
    export += ["--business", shop.credentials.business_id]
    exported = nivisco(*export, **key)
    assert exported.exit_code == 0, exported.output
    person = json.loads(exported.stdout)
    assert person["user"]["email"] == "alicia@example.com"
    assert [each["last4"] for each in person["TEST"]["cards"]] == ["4242"]
    assert person["TEST"]["wallet"]["balance"] == 0
    assert len(person["TEST"]["transactions"]) == 7
    assert [each["amount"] for each in person["TEST"]["receivables"]] == [0.04]
    assert [each["amount"] for each in person["TEST"]["payments"]] == [50.25]
    assert (person["LIVE"]["payments"], person["recurring_logs"]) == ([], [])
    unknown = nivisco(*("USR-NONE" if each == shop.user_id else each for each in export), **key)
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "get_user_info: User not found (HTTP 404)" in unknown.stderr

    where = ["--business", shop.credentials.business_id, "--reason", "asked", "--by", "ana"]
    refused = shop.run("user", "erase", shop.user_id, *where)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "ID has cards (1): remove cards, cancel jobs" in refused.stderr
    shop.post("remove_card", card_id=person["TEST"]["cards"][0]["card_id"])
    erased = shop.run("user", "erase", shop.user_id, *where)
    assert erased.exit_code == 0, erased.output
    assert f"{shop.user_id} is erased.\n" in erased.stdout
    assert "stripe TEST  cus_" in erased.stdout
    left = nivisco(*export, **key).stdout
    assert "licia" not in left
    assert json.loads(left)["TEST"]["payments"] == person["TEST"]["payments"]
    doctor = nivisco("doctor", *shop.core, "--data-dir", str(shop.directory.path))
    assert doctor.exit_code == 0, doctor.stdout


def test_what_cannot_be_done_says_what_to_do(shop: Shop) -> None:
    where = [*shop.core, "--data-dir", str(shop.directory.path)]
    for arguments in (("show",), ("retry",), ("resolve", "--as", "failed", "--reason", "r")):
        unknown = shop.payments(arguments[0], "PAY-NONE", *arguments[1:])
        assert (unknown.exit_code, unknown.stdout) == (1, "")
        assert (
            "No payment has the id PAY-NONE. `nivisco call get_payment_records`" in unknown.stderr
        )
    unknown = shop.run("refunds", "show", "REF-NONE")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "The core refused: ID names no refund: REF-NONE." in unknown.stderr
    long = shop.payments("retry", "PAY-NONE", "--reason", "r" * 1001)
    assert "--reason must have at most 1000 characters" in long.stderr
    nothing = nivisco("queue", "list", *where)
    assert (nothing.exit_code, nothing.stdout) == (0, "Nothing is set aside.\n")
    assert json.loads(nivisco("queue", "list", "--json", *where).stdout) == {"rows": []}
    release = ["queue", "release", "recurring_job", "REC-1", "--reason", "r", *where]
    assert "ID names no recurring_job that is set aside" in nivisco(*release).stderr

    merchant, business_id = ["--reason", "r", *where], shop.credentials.business_id
    unknown = nivisco("business", "suspend", "nobody", *merchant)
    assert "ID names no business" in unknown.stderr
    for command, is_suspended in (("suspend", True), ("reactivate", False)):
        done = nivisco("business", command, business_id, "--json", *merchant)
        assert (json.loads(done.stdout)["business"]["suspended_at"] is not None) is is_suspended
    said = nivisco("business", "suspend", business_id, *merchant).stdout
    assert said.startswith(f"{business_id} is suspended since 2")

    limits = ("business", "limits", business_id)
    assert "second: the core's default" in nivisco(*limits, *where).stdout
    changed = nivisco(*limits, "--requests-per-second", "900", "--gateway-requests", "0", *merchant)
    assert changed.stdout == (
        "requests per second: 900\nrequests at once that may call a gateway: no limit\n"
    )
    restored = nivisco(*limits, "--requests-per-second", "default", "--json", *merchant)
    assert json.loads(restored.stdout) == {
        "id": business_id,
        "limits": {"requests_per_second": None, "gateway_requests": 0},
    }

    why = ["--reason", "wrong prices", *where]
    stopped = nivisco("stop", "charges", "--gateway", "stripe", "--business", business_id, *why)
    assert stopped.stdout.startswith(f"Stopped: charges  business {business_id}  stripe  since 2")
    assert nivisco("stop", "everything", "--by", "eve", *why).stdout.endswith("wrong prices\n")
    assert len(json.loads(nivisco("stops", "--json", *where).stdout)["stops"]) == 2
    started = nivisco("start", "everything", *why)
    assert "Started: everything  all businesses  all gateways" in started.stdout
    assert f"Still stopped: charges  business {business_id}" in started.stdout
    unknown = nivisco("start", "everything", *why)
    assert "WHAT is not stopped for this business and gateway" in unknown.stderr
    assert nivisco("stops", *where).stdout.startswith(f"charges  business {business_id}")

    tokens = shop.directory.read_secrets().service_tokens
    wrong = nivisco(
        "payments", "show", "PAY-1", *shop.core, NIVISCO_SERVICE_TOKEN=tokens["scheduler"]
    )
    assert wrong.exit_code == 1
    assert "refused the operator's token" in wrong.stderr
    shop.up.signal(signal.SIGTERM)
    assert shop.up.wait() == 0
    gone = shop.payments("show", "PAY-1")
    assert (gone.exit_code, gone.stdout) == (1, "")
    assert "No core answers at" in gone.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["payments", "resolve", "PAY-1", "--as", "failed"], "--reason"),
        (["payments", "resolve", "PAY-1", "--reason", "r"], "--as"),
        (["payments", "resolve", "PAY-1", "--as", "paid", "--reason", "r"], "--as"),
        (
            ["payments", "resolve", "PAY-1", "--as", "succeeded", "--reason", "r"],
            "--as succeeded needs --transaction",
        ),
        (
            ["payments", "resolve", "P", "--as", "failed", "--reason", "r", "--transaction", "pi"],
            "--transaction is for",
        ),
        (["payments", "retry", "PAY-1", "--by", " "], "Say who decides, with --by"),
        (["payments", "show"], "ID"),
        (["refunds", "resolve", "REF-1", "--as", "failed"], "--reason"),
        (["refunds", "resolve", "REF-1", "--as", "declined", "--reason", "r"], "--as"),
        (
            ["refunds", "resolve", "R", "--as", "failed", "--reason", "r", "--transaction", "6"],
            "--transaction is for --as succeeded",
        ),
        (["queue", "release", "wallet", "W", "--reason", "r"], "wallet"),
        (["queue", "list", "--limit", "0"], "--limit"),
        (["business", "suspend", "B"], "--reason"),
        (["business", "limits", "B", "--gateway-requests", "5"], "Say why, with --reason"),
        (["business", "limits", "B", "--gateway-requests", "-1"], "not a number from 0 to"),
        (["stop", "refunds", "--reason", "r"], "refunds"),
        (["start", "charges"], "--reason"),
        (["payments", "show", "PAY-1", "--data-dir", "{}"], "No operator's token"),
    ],
)
def test_wrong_options_are_exit_code_2(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    result = nivisco(*(each.format(tmp_path / "none") for each in arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
