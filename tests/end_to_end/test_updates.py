"""Updates over JSON: null clears an optional field, and nothing else."""

import pytest

from tests.end_to_end.running import STRIPE_KEYS, JsonClient, new_user


async def new_job(merchant: JsonClient) -> str:
    created = await merchant.call(
        "create_recurring",
        user_id=await new_user(merchant),
        amount=5,
        interval_type="month",
        source="wallet",
        description="Dues",
        end_at="2099-01-01",
        max_cycles=12,
    )
    assert created.status == 200, created.text
    return str(created.body["recurring_id"])


@pytest.mark.parametrize("field", ["description", "end_at", "max_cycles", "source"])
async def test_null_clears_an_optional_field_of_a_job_and_leaves_the_others(
    merchant: JsonClient, field: str
) -> None:
    recurring_id = await new_job(merchant)
    [before] = (await merchant.call("list_recurring")).body["recurring"]
    assert before[field] is not None
    updated = await merchant.call("update_recurring", recurring_id=recurring_id, **{field: None})
    assert updated.status == 200, updated.text
    [after] = (await merchant.call("list_recurring")).body["recurring"]
    assert after[field] is None
    changed = {name for name in before if after[name] != before[name]}
    assert changed <= {field, "updated_at"}
    assert updated.body["recurring"] | {"upcoming": []} == after


async def test_fields_are_set_and_cleared_in_one_update(merchant: JsonClient) -> None:
    recurring_id = await new_job(merchant)
    updated = await merchant.call(
        "update_recurring", recurring_id=recurring_id, amount=7, end_at=None, description=None
    )
    job = updated.body["recurring"]
    assert (job["amount"], job["end_at"], job["description"], job["max_cycles"]) == (
        7, None, None, 12,
    )  # fmt: skip


async def test_a_list_of_numbers_is_set_and_cleared(merchant: JsonClient) -> None:
    recurring_id = await new_job(merchant)
    for sent, expected in (([2, 30], [2, 30]), (None, [1, 3, 7])):
        updated = await merchant.call(
            "update_recurring", recurring_id=recurring_id, retry_days=sent
        )
        assert updated.body["recurring"]["retry_days"] == expected
    for invalid, field in (([1.5], "retry_days[0]"), (3, "retry_days"), ([3, 2], "retry_days")):
        refused = await merchant.call(
            "update_recurring", recurring_id=recurring_id, retry_days=invalid
        )
        assert (refused.status, refused.body["fields"][0]["field"]) == (400, field)


async def test_the_dunning_of_a_business_is_set_and_cleared(merchant: JsonClient) -> None:
    recurring_id = await new_job(merchant)
    for sent, expected in (([2, 30], [2, 30]), (None, [1, 3, 7])):
        updated = await merchant.call("modify_business", updates={"retry_days": sent})
        assert updated.body["updated_fields"] == ["retry_days"]
        assert updated.body["business"]["retry_days"] == expected
        found = await merchant.call("get_recurring", recurring_id=recurring_id)
        assert found.body["recurring"]["retry_days"] == expected
    refused = await merchant.call("modify_business", updates={"retry_days": [3, 2]})
    assert refused.body["fields"][0]["field"] == "updates.retry_days"


async def test_null_for_a_field_that_cannot_be_cleared_is_absent(merchant: JsonClient) -> None:
    recurring_id = await new_job(merchant)
    response = await merchant.call("update_recurring", recurring_id=recurring_id, amount=None)
    assert (response.status, response.body["code"]) == (400, "INVALID_FIELDS")
    assert "update_mask" not in response.text
    response = await merchant.call(
        "update_recurring", recurring_id=recurring_id, amount=None, interval_value=2
    )
    assert response.body["recurring"]["interval_value"] == 2


async def test_null_clears_a_gateway_credential(merchant: JsonClient) -> None:
    keys = STRIPE_KEYS | {"stripe_webhook_secret": "whsec_obviously_fake"}
    await merchant.call("add_stripe_credentials", credentials=keys)
    webhook = f"/webhooks/stripe/{merchant.business_id}"
    cleared = await merchant.call(
        "modify_stripe_credentials", credentials={"env": "TEST", "stripe_webhook_secret": None}
    )
    assert cleared.status == 200, cleared.text
    assert (await merchant.send("{}", path=webhook)).status == 400


async def test_the_field_mask_of_grpc_is_not_a_field_in_json(merchant: JsonClient) -> None:
    response = await merchant.call("update_recurring", recurring_id="REC-1", update_mask="end_at")
    assert [each["field"] for each in response.body["fields"]] == ["update_mask"]
    assert response.body["fields"][0]["description"] == "is not a field of this request"
