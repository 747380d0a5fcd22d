import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import nivisco.ApiClient;
import nivisco.ApiException;
import nivisco.api.CardsApi;
import nivisco.api.PaymentsApi;
import nivisco.api.UsersApi;
import nivisco.model.ChargeCustomerRequest;
import nivisco.model.CreateStripeCustomerRequest;
import nivisco.model.CreateUserRequest;
import nivisco.model.CreateUserRequestNewUser;
import nivisco.model.Env;
import nivisco.model.GetPaymentRecordsRequest;

/** The scenario with the Java client that openapi-generator makes of /openapi-v1.json. */
public final class Scenario {
    private static final ObjectMapper JSON = new ObjectMapper();

    private static ApiClient client(String apiKey) {
        String credentials = System.getenv("CLIENT_BUSINESS_ID") + ":" + apiKey;
        String header = "Basic " + Base64.getEncoder().encodeToString(credentials.getBytes());
        ApiClient client = new ApiClient();
        client.updateBaseUri(System.getenv("CLIENT_URL"));
        client.setRequestInterceptor(request -> request.header("Authorization", header));
        return client;
    }

    private static ChargeCustomerRequest charge(String user, String amount, String key) {
        return new ChargeCustomerRequest().userId(user).amount(amount).env(Env.TEST).idempotencyKey(key);
    }

    private static Map<String, Object> refused(PaymentsApi payments, ChargeCustomerRequest request)
            throws Exception {
        try {
            payments.chargeCustomer(request);
        } catch (ApiException error) {
            JsonNode body = JSON.readTree(error.getResponseBody());
            List<String> fields = new ArrayList<>();
            body.path("fields").forEach(each -> fields.add(each.get("field").asText()));
            Map<String, Object> found = new LinkedHashMap<>();
            found.put("status", error.getCode());
            found.put("error", body.get("error"));
            found.put("code", body.get("code"));
            found.put("decline_code", body.get("decline_code"));
            found.put("fields", fields);
            return found;
        }
        throw new IllegalStateException("it was charged");
    }

    public static void main(String[] arguments) throws Exception {
        ApiClient own = client(System.getenv("CLIENT_API_KEY"));
        var cards = new CardsApi(own);
        var payments = new PaymentsApi(own);
        var ada = new CreateUserRequestNewUser().name("Ada").email("ada@example.com");
        String user = new UsersApi(own).createUser(new CreateUserRequest().user(ada)).getUser().getUserId();

        var card = new CreateStripeCustomerRequest().userId(user).setAsPrimary(true);
        cards.createStripeCustomer(card.paymentMethodToken("pm_card_visa"));
        var charged = payments.chargeCustomer(charge(user, "25.50", "order-1"));
        var again = payments.chargeCustomer(charge(user, "25.50", "order-1"));
        cards.createStripeCustomer(card.paymentMethodToken("pm_card_chargeCustomerFail"));

        Map<String, Object> results = new LinkedHashMap<>();
        results.put("charged", List.of(
            charged.getSuccess(), charged.getStatus(), charged.getAmount(), charged.getCurrency()));
        results.put("replayed", charged.getPaymentId().equals(again.getPaymentId()));
        results.put("declined", refused(payments, charge(user, "9.00", "order-2")));
        results.put("unknown_user", refused(payments, charge("USR-0", "9.00", "order-3")));
        results.put("invalid", refused(payments, charge(user, "1.005", "order-4")));
        results.put("wrong_key", refused(new PaymentsApi(client("wrong")), charge(user, "9.00", "order-5")));
        List<Object> listed = new ArrayList<>();
        for (var each : payments.getPaymentRecords(new GetPaymentRecordsRequest().userId(user)).getPayments()) {
            listed.add(Arrays.asList(each.getStatus(), each.getAmount(), each.getDescription()));
        }
        results.put("listed", listed);
        System.out.println(JSON.writeValueAsString(results));
    }
}
