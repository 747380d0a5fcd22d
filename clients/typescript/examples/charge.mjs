// Saves a test card and charges it: `node charge.mjs`, with the three variables below.

import { ApiError, ErrorCode, Nivisco } from "@nivisco/client";

const nivisco = new Nivisco({
  url: process.env.NIVISCO_URL,
  businessId: process.env.NIVISCO_BUSINESS_ID,
  apiKey: process.env.NIVISCO_API_KEY,
});
const { user } = await nivisco.createUser({
  user: { name: "Alicia Gomez", email: "alicia@example.com" },
});
const { userId } = user;
for (const card of ["pm_card_visa", "pm_card_chargeCustomerFail"]) {
  await nivisco.createStripeCustomer({ userId, paymentMethodToken: card, setAsPrimary: true });
  try {
    // With the same key the charge takes effect once, however often it is sent.
    const options = { idempotencyKey: `order-1-${card}` };
    const charge = await nivisco.chargeCustomer({ userId, amount: "25.50" }, options);
    console.log("charged", charge.amount, charge.currency);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== ErrorCode.CARD_DECLINED) throw error;
    console.log("declined", error.declineCode);
  }
}

for await (const payment of nivisco.iteratePaymentRecords({ userId })) {
  console.log(payment.createdAt.toISOString(), payment.amount, payment.status);
}
