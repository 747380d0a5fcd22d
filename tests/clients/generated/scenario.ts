// The scenario with the TypeScript client that openapi-generator makes of /openapi-v1.json.
import { isAxiosError } from "axios";
import {
  CardsApi, type ChargeCustomerRequest, Configuration, Env, PaymentsApi, UsersApi,
} from "./api-client/index.js";

const { CLIENT_URL, CLIENT_BUSINESS_ID, CLIENT_API_KEY } = process.env;

function configuration(password: string | undefined): Configuration {
  return new Configuration({ basePath: CLIENT_URL, username: CLIENT_BUSINESS_ID, password });
}

async function refused(payments: PaymentsApi, request: ChargeCustomerRequest): Promise<unknown> {
  try {
    await payments.chargeCustomer(request);
  } catch (error) {
    if (!isAxiosError(error) || error.response === undefined) throw error;
    const body = error.response.data;
    return {
      status: error.response.status,
      error: body.error,
      code: body.code ?? null,
      decline_code: body.decline_code ?? null,
      fields: (body.fields ?? []).map((each: { field: string }) => each.field),
    };
  }
  throw new Error("it was charged");
}

const own = configuration(CLIENT_API_KEY);
const payments = new PaymentsApi(own);
const cards = new CardsApi(own);
const created = await new UsersApi(own).createUser({ user: { name: "Ada", email: "ada@example.com" } });
const user_id = created.data.user.user_id;

const save = (payment_method_token: string) =>
  cards.createStripeCustomer({ user_id, payment_method_token, set_as_primary: true });
const charge = (amount: string, idempotency_key: string, user = user_id): ChargeCustomerRequest =>
  ({ user_id: user, amount, env: Env.Test, idempotency_key });

await save("pm_card_visa");
const charged = (await payments.chargeCustomer(charge("25.50", "order-1"))).data;
const again = (await payments.chargeCustomer(charge("25.50", "order-1"))).data;
await save("pm_card_chargeCustomerFail");
const results: Record<string, unknown> = {
  charged: [charged.success, charged.status, charged.amount, charged.currency],
  replayed: charged.payment_id !== null && again.payment_id === charged.payment_id,
  declined: await refused(payments, charge("9.00", "order-2")),
  unknown_user: await refused(payments, charge("9.00", "order-3", "USR-0")),
  invalid: await refused(payments, charge("1.005", "order-4")),
  wrong_key: await refused(new PaymentsApi(configuration("wrong")), charge("9.00", "order-5")),
};
const listed = (await payments.getPaymentRecords({ user_id })).data.payments;
results.listed = listed.map((each) => [each.status, each.amount, each.description]);
console.log(JSON.stringify(results));
