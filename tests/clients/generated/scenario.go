// The scenario with the Go client that openapi-generator makes of /openapi-v1.json.
package main

import (
	"context"
	"encoding/json"
	"os"

	nivisco "example.com/generated"
)

var url, businessID = os.Getenv("CLIENT_URL"), os.Getenv("CLIENT_BUSINESS_ID")

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func caller(apiKey string) context.Context {
	credentials := nivisco.BasicAuth{UserName: businessID, Password: apiKey}
	return context.WithValue(context.Background(), nivisco.ContextBasicAuth, credentials)
}

func main() {
	configuration := nivisco.NewConfiguration()
	configuration.Servers[0].URL = url
	client := nivisco.NewAPIClient(configuration)
	own := caller(os.Getenv("CLIENT_API_KEY"))

	user := *nivisco.NewCreateUserRequestNewUser("Ada", "ada@example.com")
	created, _, err := client.UsersAPI.CreateUser(own).CreateUserRequest(*nivisco.NewCreateUserRequest(user)).Execute()
	check(err)
	userID := created.User.UserId

	save := func(token string) {
		card := *nivisco.NewCreateStripeCustomerRequest(userID, token)
		card.SetSetAsPrimary(true)
		_, _, err := client.CardsAPI.CreateStripeCustomer(own).CreateStripeCustomerRequest(card).Execute()
		check(err)
	}
	charge := func(as context.Context, amount, key, user string) (*nivisco.ChargeCustomerResponse, error) {
		request := *nivisco.NewChargeCustomerRequest(user, amount)
		request.SetEnv(nivisco.ENV_TEST)
		request.SetIdempotencyKey(key)
		answer, _, err := client.PaymentsAPI.ChargeCustomer(as).ChargeCustomerRequest(request).Execute()
		return answer, err
	}

	save("pm_card_visa")
	charged, err := charge(own, "25.50", "order-1", userID)
	check(err)
	again, err := charge(own, "25.50", "order-1", userID)
	check(err)
	save("pm_card_chargeCustomerFail")
	_, declined := charge(own, "9.00", "order-2", userID)
	_, unknown := charge(own, "9.00", "order-3", "USR-0")
	_, invalid := charge(own, "1.005", "order-4", userID)
	_, wrong := charge(caller("wrong"), "9.00", "order-5", userID)

	list := *nivisco.NewGetPaymentRecordsRequest()
	list.SetUserId(userID)
	records, _, err := client.PaymentsAPI.GetPaymentRecords(own).GetPaymentRecordsRequest(list).Execute()
	check(err)
	listed := [][]any{}
	for _, each := range records.Payments {
		listed = append(listed, []any{each.Status, each.Amount, each.Description.Get()})
	}
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"charged":      []any{charged.Success, charged.Status, charged.Amount, charged.Currency},
		"replayed":     charged.PaymentId.IsSet() && again.GetPaymentId() == charged.GetPaymentId(),
		"declined":     refused(declined),
		"unknown_user": refused(unknown),
		"invalid":      refused(invalid),
		"wrong_key":    refused(wrong),
		"listed":       listed,
	}))
}

func refused(err error) map[string]any {
	failure, is := err.(*nivisco.GenericOpenAPIError)
	if !is {
		panic("it was charged")
	}
	switch body := failure.Model().(type) {
	case nivisco.PaymentRequiredError:
		return found(402, body.Error, body.Code, body.DeclineCode, nil)
	case nivisco.NotFoundError:
		return found(404, body.Error, body.Code, nil, nil)
	case nivisco.BadRequestError:
		return found(400, body.Error, body.Code, nil, body.Fields)
	case nivisco.UnauthorizedError:
		return found(401, body.Error, nil, nil, nil)
	}
	panic(failure)
}

func found(status int, text string, code, declineCode *string, problems []nivisco.FieldProblem) map[string]any {
	fields := []string{}
	for _, each := range problems {
		fields = append(fields, each.Field)
	}
	return map[string]any{
		"status": status, "error": text, "code": code, "decline_code": declineCode, "fields": fields,
	}
}
