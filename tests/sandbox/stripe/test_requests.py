"""Stripe's requests in general: forms, keys, URLs, error shapes."""

import base64
from typing import Any

import pytest
import stripe

from sandbox.stripe.errors import StripeError
from sandbox.stripe.forms import BODY_BYTES_MAX, PARAMETERS_MAX, decode
from sandbox.stripe.keys import get_account, mask
from tests.sandbox.running import ACCOUNT, KEY, Sandbox


class TestForms:
    @pytest.mark.parametrize(
        ("encoded", "form"),
        [
            (b"", {}),
            (b"a=1&b=", {"a": "1", "b": ""}),
            (b"a[b][c]=1&a[b][d]=2", {"a": {"b": {"c": "1", "d": "2"}}}),
            (b"a[]=x&a[]=y", {"a": {"0": "x", "1": "y"}}),
            (b"a%5Bb%5D=caf%C3%A9+au+lait", {"a": {"b": "café au lait"}}),
            (b"a=1&a=2", {"a": "2"}),
            (b"a", {"a": ""}),
        ],
    )
    def test_brackets_nest(self, encoded: bytes, form: dict[str, object]) -> None:
        assert decode(encoded) == form

    @pytest.mark.parametrize(
        "encoded",
        [
            b"a[b=1",
            b"[a]=1",
            b"a]b=1",
            b"a=1&a[b]=2",
            b"a[b]=2&a=1",
            b"a=%",
            b"a=%zz",
            b"a=%ff",
            b"a=%00",
            b"a" + b"[b]" * 9 + b"=1",
            b"&".join(b"a%d=1" % n for n in range(PARAMETERS_MAX + 1)),
        ],
    )
    def test_malformed_forms_are_a_400(self, encoded: bytes) -> None:
        with pytest.raises(StripeError) as refused:
            decode(encoded)
        assert refused.value.response.status == 400


class TestKeys:
    def test_the_account_derives_from_the_key(self) -> None:
        assert get_account("sk_test_shop1_a") == get_account("sk_live_shop1_b") == "acct_shop1"
        own = get_account("sk_test_4eC39HqLyjWDarjtT1zdp7dc")
        assert own.startswith("acct_")
        assert own == get_account("sk_test_4eC39HqLyjWDarjtT1zdp7dc")
        assert own != get_account("sk_test_4eC39HqLyjWDarjtT1zdp7dd")

    def test_a_masked_key_shows_mode_and_last_four(self) -> None:
        assert mask("sk_test_abcdefgh1234") == "sk_test_********1234"
        assert mask("short") == "*****"

    @pytest.mark.parametrize(
        ("authorization", "expected"),
        [
            (None, "did not provide an API key"),
            ("Bearer ", "did not provide an API key"),
            ("Digest x", "did not provide an API key"),
            ("Basic !!", "Invalid basic credentials"),
            ("Bearer nonsense_key_123456", "Invalid API Key provided: nonsense*******3456"),
            ("Bearer sk_prod_shop1_aaaaaa", "Invalid API Key provided: sk_prod_********aaaa"),
            ("Bearer pk_test_shop1_aaaaaa", "publishable API key"),
        ],
    )
    async def test_requests_without_a_secret_key_get_401(
        self, sandbox: Sandbox, authorization: str | None, expected: str
    ) -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        status, body = await sandbox.call("GET", "/v1/customers", key=None, **headers)
        assert status == 401
        assert body["error"]["type"] == "invalid_request_error"
        assert expected in body["error"]["message"]

    async def test_the_sdk_raises_an_authentication_error(self, sandbox: Sandbox) -> None:
        with pytest.raises(stripe.AuthenticationError):
            await sandbox.stripe("sk_wrong").v1.customers.create_async()

    async def test_basic_credentials_and_restricted_keys_are_accepted(
        self, sandbox: Sandbox
    ) -> None:
        await sandbox.customer_with_card()
        basic = base64.b64encode(b"rk_test_shop1_r:").decode()
        status, page = await sandbox.call(
            "GET", "/v1/customers", key=None, Authorization=f"Basic {basic}"
        )
        assert (status, len(page["data"])) == (200, 1)

    async def test_accounts_and_modes_are_isolated(self, sandbox: Sandbox) -> None:
        customer, card = await sandbox.customer_with_card()
        for key in ("sk_test_shop2_a", "sk_live_shop1_a"):
            _, page = await sandbox.call("GET", "/v1/customers", key=key)
            assert page["data"] == []
            for path in (f"/v1/customers/{customer}", f"/v1/payment_methods/{card}"):
                status, _ = await sandbox.call("GET", path, key=key)
                assert status == 404
        _, body = await sandbox.call("GET", f"/v1/customers/{customer}", key="sk_live_shop1_a")
        assert "similar object exists in test mode" in body["error"]["message"]
        status, _ = await sandbox.call("GET", f"/v1/customers/{customer}", key="sk_test_shop1_b")
        assert status == 200

    async def test_a_live_key_creates_live_objects(self, sandbox: Sandbox) -> None:
        customer = await sandbox.stripe("sk_live_shop1_a").v1.customers.create_async()
        assert customer.livemode is True

    async def test_another_stripe_account_is_refused(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        await client.v1.customers.create_async(options={"stripe_account": ACCOUNT})
        with pytest.raises(stripe.PermissionError) as refused:
            await client.v1.customers.create_async(options={"stripe_account": "acct_other"})
        assert refused.value.http_status == 403
        body: Any = refused.value.json_body
        assert body["error"]["code"] == "account_invalid"
        assert KEY not in str(body)

    async def test_a_registered_key_is_accepted_until_revoked(self, sandbox: Sandbox) -> None:
        customer, _ = await sandbox.customer_with_card()
        key = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
        await sandbox.control("POST", "keys", {"key": key, "account": ACCOUNT})
        status, _ = await sandbox.call("GET", f"/v1/customers/{customer}", key=key)
        assert status == 200
        await sandbox.control("POST", "keys", {"key": key, "revoked": True})
        status, body = await sandbox.call("GET", f"/v1/customers/{customer}", key=key)
        assert (status, body["error"]["code"]) == (401, "api_key_expired")


class TestResponses:
    async def test_responses_have_a_request_id(self, sandbox: Sandbox) -> None:
        for path in ("/v1/customers", "/v1/nothing"):
            _, headers, _ = await sandbox.call_with_headers("GET", path)
            assert headers["Request-Id"].startswith("req_")
            assert headers["Content-Type"].startswith("application/json")
        customer = await sandbox.stripe().v1.customers.create_async()
        assert customer.last_response is not None
        assert customer.last_response.request_id is not None

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v1/nothing"),
            ("GET", "/v1/customers/"),
            ("DELETE", "/v1/payment_intents/pi_1"),
            ("GET", "/v1/payment_intents/pi_1/confirm"),
            ("GET", "/"),
            ("GET", "/v2/customers"),
        ],
    )
    async def test_an_unknown_url_is_a_404(self, sandbox: Sandbox, method: str, path: str) -> None:
        status, body = await sandbox.call(method, path)
        assert status == 404
        assert body["error"]["message"].startswith(f"Unrecognized request URL ({method}: {path})")

    @pytest.mark.parametrize(
        "kind",
        ["customer", "payment_method", "payment_intent", "charge", "refund", "dispute"],
    )
    async def test_an_unknown_id_in_the_url_is_a_404(self, sandbox: Sandbox, kind: str) -> None:
        status, body = await sandbox.call("GET", f"/v1/{kind}s/none")
        assert (status, body["error"]["code"]) == (404, "resource_missing")
        assert body["error"]["message"] == f"No such {kind}: 'none'"

    async def test_a_body_that_is_not_a_form_is_a_400(self, sandbox: Sandbox) -> None:
        for body, content_type in (
            ("{}", "application/json"),
            (b"a=%ff", "application/x-www-form-urlencoded"),
        ):
            status, answer = await sandbox.call(
                "POST", "/v1/customers", body, Content_Type=content_type
            )
            assert (status, answer["error"]["type"]) == (400, "invalid_request_error")

    async def test_an_oversized_body_is_a_413(self, sandbox: Sandbox) -> None:
        status, answer = await sandbox.call(
            "POST", "/v1/customers", b"name=" + b"x" * BODY_BYTES_MAX
        )
        assert (status, answer["error"]["type"]) == (413, "invalid_request_error")

    async def test_a_malformed_api_version_is_refused(self, sandbox: Sandbox) -> None:
        status, body = await sandbox.call("GET", "/v1/customers", Stripe_Version="latest")
        assert status == 400
        assert "Invalid Stripe API version" in body["error"]["message"]

    async def test_a_bug_is_a_500_without_details(
        self,
        sandbox: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setattr("sandbox.stripe.customers.resources.build_customer", broken)
        status, body = await sandbox.call("POST", "/v1/customers", {"name": "Ann"})
        assert (status, body["error"]["type"]) == (500, "api_error")
        assert "secret detail" not in str(body)
        assert "secret detail" in caplog.text
        monkeypatch.undo()
        assert (await sandbox.call("POST", "/v1/customers"))[0] == 200
