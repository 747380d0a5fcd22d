"""Saves a test card and charges it: `python charge.py`, with the three variables below."""

import os

from nivisco_client import ApiError, ErrorCode, NewUser, Nivisco

with Nivisco(
    os.environ["NIVISCO_URL"], os.environ["NIVISCO_BUSINESS_ID"], os.environ["NIVISCO_API_KEY"]
) as nivisco:
    user = nivisco.create_user(user=NewUser(name="Alicia Gomez", email="alicia@example.com")).user
    for card in ("pm_card_visa", "pm_card_chargeCustomerFail"):
        nivisco.create_stripe_customer(
            user_id=user.user_id, payment_method_token=card, set_as_primary=True
        )
        try:
            # With the same key the charge takes effect once, however often it is sent.
            charge = nivisco.charge_customer(
                user_id=user.user_id, amount="25.50", idempotency_key=f"order-1-{card}"
            )
            print("charged", charge.amount, charge.currency)
        except ApiError as error:
            if error.code != ErrorCode.CARD_DECLINED:
                raise
            print("declined", error.decline_code)

    for payment in nivisco.iterate_payment_records(user_id=user.user_id):
        print(payment.created_at.isoformat(), payment.amount, payment.status)
