package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	nivisco "payments.nivisco/client"
)

func charge(t *testing.T, ctx context.Context, url string, options ...nivisco.CallOption) error {
	client, err := nivisco.New(url, "BUS-1", "key")
	if err != nil {
		t.Fatal(err)
	}
	fields := nivisco.ChargeWalletFields{UserID: "USR-1", Amount: "1.00"}
	_, err = client.ChargeWallet(ctx, fields, options...)
	return err
}

func TestACallWithAnEmptyKeyIsNotSent(t *testing.T) {
	wasCalled := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { wasCalled = true }))
	defer server.Close()
	err := charge(t, context.Background(), server.URL, nivisco.IdempotencyKey(""))
	if err == nil || wasCalled {
		t.Errorf("the error is %v, and a request was sent: %v", err, wasCalled)
	}
}

func TestTheErrorOfACancelledCallHasItsCause(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body) // only then a closed connection is noticed
		cancel()
		<-request.Context().Done()
	}))
	defer server.Close()
	err := charge(t, ctx, server.URL)
	var problem *nivisco.ConnectionError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &problem) || !problem.OutcomeIsUnknown {
		t.Errorf("the error is %#v", err)
	}
}

type wrapped struct{ http.RoundTripper }

func TestAProgramMayWrapTheDefaultTransport(t *testing.T) {
	original := http.DefaultTransport
	defer func() { http.DefaultTransport = original }()
	http.DefaultTransport = wrapped{original}
	if _, err := nivisco.New("https://payments.example.com", "BUS-1", "key"); err != nil {
		t.Error(err)
	}
}
