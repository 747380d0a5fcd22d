"""Customers through Stripe's own SDK."""

import pytest
import stripe

from tests.sandbox.running import Sandbox, assert_fields

NOT_MODELLED = set(
    """business_name cash_balance customer_account individual_name invoice_credit_balance sources
    subscriptions tax tax_ids""".split()  # noqa: SIM905
)


class TestCreate:
    async def test_a_customer_has_every_field_and_its_parameters(self, sandbox: Sandbox) -> None:
        customer = await sandbox.stripe().v1.customers.create_async(
            {"email": "ann@example.com", "name": "Ann", "metadata": {"user": "USR-1"}}
        )
        shown = customer.to_dict()
        assert_fields(shown, stripe.Customer, NOT_MODELLED)
        assert customer.id.startswith("cus_")
        assert shown["email"] == "ann@example.com"
        assert shown["metadata"] == {"user": "USR-1"}
        assert shown["livemode"] is False

    async def test_creation_attaches_a_card_and_makes_it_the_default(
        self, sandbox: Sandbox
    ) -> None:
        client = sandbox.stripe()
        customer = await client.v1.customers.create_async(
            {
                "payment_method": "pm_card_visa",
                "invoice_settings": {"default_payment_method": "pm_card_visa"},
            }
        )
        cards = await client.v1.customers.payment_methods.list_async(customer.id)
        assert customer.invoice_settings is not None
        assert customer.invoice_settings.default_payment_method == cards.data[0].id

    async def test_a_declined_card_creates_no_customer(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        with pytest.raises(stripe.CardError):
            await client.v1.customers.create_async(
                {"payment_method": "pm_card_visa_chargeDeclined"}
            )
        assert (await client.v1.customers.list_async()).data == []


class TestUpdate:
    async def test_an_update_keeps_absent_fields_and_merges_metadata(
        self, sandbox: Sandbox
    ) -> None:
        client = sandbox.stripe()
        customer = await client.v1.customers.create_async(
            {"name": "Ann", "email": "a@example.com", "metadata": {"a": "1", "b": "2"}}
        )
        await client.v1.customers.update_async(
            customer.id, {"name": "Beth", "metadata": {"a": "", "c": "3"}}
        )
        found = await client.v1.customers.retrieve_async(customer.id)
        assert (found.name, found.email) == ("Beth", "a@example.com")
        assert found.to_dict()["metadata"] == {"b": "2", "c": "3"}

    async def test_only_an_attached_card_can_be_the_default(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        customer, card = await sandbox.customer_with_card()
        other = await client.v1.customers.create_async()
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await client.v1.customers.update_async(
                other.id, {"invoice_settings": {"default_payment_method": card}}
            )
        assert refused.value.code == "resource_missing"
        status, body = await sandbox.call(
            "POST",
            f"/v1/customers/{customer}",
            {"invoice_settings[default_payment_method]": card},
        )
        assert status == 200
        assert body["invoice_settings"]["default_payment_method"] == card


class TestDelete:
    async def test_a_deleted_customer_is_shown_as_such_and_takes_no_card(
        self, sandbox: Sandbox
    ) -> None:
        client = sandbox.stripe()
        customer, card = await sandbox.customer_with_card()
        deleted = {"id": customer, "object": "customer", "deleted": True}
        assert await sandbox.call("DELETE", f"/v1/customers/{customer}") == (200, deleted)
        assert await sandbox.call("GET", f"/v1/customers/{customer}") == (200, deleted)
        assert (await client.v1.payment_methods.retrieve_async(card)).customer is None
        for call in (
            client.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer}),
            client.v1.customers.delete_async(customer),
        ):
            with pytest.raises(stripe.InvalidRequestError) as refused:
                await call
            assert refused.value.code == "resource_missing"
        assert (await client.v1.customers.list_async()).data == []


class TestList:
    async def test_customers_are_paged_newest_first(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        made = [(await client.v1.customers.create_async()).id for _ in range(5)]
        first = await client.v1.customers.list_async({"limit": 2})
        assert [customer.id for customer in first.data] == made[:2:-1]
        assert first.has_more
        assert first.url == "/v1/customers"
        everyone = [c.id async for c in first.auto_paging_iter()]
        assert everyone == made[::-1]
        back = await client.v1.customers.list_async({"limit": 2, "ending_before": made[1]})
        assert [customer.id for customer in back.data] == [made[3], made[2]]
        assert back.has_more

    async def test_email_filters(self, sandbox: Sandbox) -> None:
        client = sandbox.stripe()
        for name in ("ann", "beth"):
            await client.v1.customers.create_async({"email": f"{name}@example.com"})
        found = await client.v1.customers.list_async({"email": "beth@example.com"})
        assert [customer.email for customer in found.data] == ["beth@example.com"]

    async def test_an_unknown_cursor_is_refused(self, sandbox: Sandbox) -> None:
        status, body = await sandbox.call("GET", "/v1/customers?starting_after=cus_none")
        assert (status, body["error"]["code"]) == (400, "resource_missing")
        assert body["error"]["param"] == "starting_after"
