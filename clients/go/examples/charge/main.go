// Saves a test card and charges it: `go run ./examples/charge`, with the three variables below.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	nivisco "payments.nivisco/client"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	client, err := nivisco.New(
		os.Getenv("NIVISCO_URL"), os.Getenv("NIVISCO_BUSINESS_ID"), os.Getenv("NIVISCO_API_KEY"),
	)
	if err != nil {
		return err
	}
	created, err := client.CreateUser(ctx, nivisco.CreateUserFields{
		User: nivisco.NewUser{Name: "Alicia Gomez", Email: "alicia@example.com"},
	})
	if err != nil {
		return err
	}
	userID := created.User.UserID
	for _, card := range []string{"pm_card_visa", "pm_card_chargeCustomerFail"} {
		if err := charge(ctx, client, userID, card); err != nil {
			return err
		}
	}
	payments := client.IteratePaymentRecords(nivisco.GetPaymentRecordsFields{UserID: &userID})
	for payments.Next(ctx) {
		payment := payments.Value()
		fmt.Println(payment.CreatedAt.Format(time.RFC3339), payment.Amount, payment.Status)
	}
	return payments.Err()
}

func charge(ctx context.Context, client *nivisco.Client, userID, card string) error {
	_, err := client.CreateStripeCustomer(ctx, nivisco.CreateStripeCustomerFields{
		UserID: userID, PaymentMethodToken: nivisco.Secret(card), SetAsPrimary: nivisco.Ptr(true),
	})
	if err != nil {
		return err
	}
	// With the same key the charge takes effect once, however often it is sent.
	key := nivisco.IdempotencyKey("order-1-" + card)
	fields := nivisco.ChargeCustomerFields{UserID: userID, Amount: "25.50"}
	charged, err := client.ChargeCustomer(ctx, fields, key)
	var refused *nivisco.APIError
	if errors.As(err, &refused) && refused.Code == nivisco.CardDeclined {
		fmt.Println("declined", refused.DeclineCode)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Println("charged", charged.Amount, charged.Currency)
	return nil
}
