// Package nivisco calls the Nivisco payment API: typed, exact, safe to repeat.
package nivisco

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	firstPause     = 250 * time.Millisecond
	longestConnect = 5 * time.Second
	longestIdle    = 90 * time.Second
	defaultTimeout = 30 * time.Second
)

// Client calls the API as one business. It may be shared by goroutines. A call without a response, or
// with 408, 429 or 5xx, is retried with the same idempotency key until the timeout, or the deadline of
// its context.
type Client struct {
	url        string
	businessID string
	apiKey     Secret
	timeout    time.Duration
	http       *http.Client
}

// Option is an option of New.
type Option func(*settings)

type settings struct {
	timeout        time.Duration
	allowPlainHTTP bool
}

// Timeout is the timeout of one call with all its attempts. The default is 30 seconds.
func Timeout(timeout time.Duration) Option {
	return func(s *settings) { s.timeout = timeout }
}

// AllowPlainHTTP lets the key be sent unencrypted to another machine.
func AllowPlainHTTP() Option {
	return func(s *settings) { s.allowPlainHTTP = true }
}

// CallOption is an option of a mutating call.
type CallOption func(*string)

// IdempotencyKey is the key of a call. The default is a new one for every call. With an empty one, which
// no call can have, the call returns an error and nothing is sent.
func IdempotencyKey(key string) CallOption {
	return func(to *string) { *to = key }
}

// New returns a client; nothing is sent. The key belongs on a server. It is an error if the URL is
// invalid or not https; plain http is for this machine only.
func New(to, businessID, apiKey string, options ...Option) (*Client, error) {
	chosen := settings{timeout: defaultTimeout}
	for _, option := range options {
		option(&chosen)
	}
	parsed, err := url.Parse(to)
	if err != nil || parsed.User != nil || parsed.Hostname() == "" ||
		(parsed.Scheme != "http" && parsed.Scheme != "https") {
		return nil, errors.New("the URL must be https://host, without a user or password in it")
	}
	isLocal := isLoopback(parsed.Hostname())
	if parsed.Scheme == "http" && !isLocal && !chosen.allowPlainHTTP {
		return nil, errors.New("plain http sends the API key in the clear: use https, or " +
			"AllowPlainHTTP where the network is your own")
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: longestConnect}).DialContext,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: longestConnect,
		IdleConnTimeout:     longestIdle,
	}
	if isLocal {
		transport.Proxy = nil // a proxy cannot reach this machine
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	sender := &http.Client{Transport: transport, CheckRedirect: noRedirect}
	return &Client{to, businessID, Secret(apiKey), chosen.timeout, sender}, nil
}

// String returns what may be printed.
func (c *Client) String() string {
	return fmt.Sprintf("nivisco.Client{%q, %q}", c.url, c.businessID)
}

// GoString returns what may be printed.
func (c *Client) GoString() string { return c.String() }

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// attempts is a call in flight.
type attempts struct {
	content []byte
	call    Call
}

// change calls a mutating action.
func (c *Client) change(ctx context.Context, action string, fields, result any, options []CallOption) error {
	key := randomID()
	for _, option := range options {
		option(&key)
	}
	if key == "" {
		return errors.New("an idempotency key has 1 to 64 characters")
	}
	return c.send(ctx, action, fields, result, key)
}

// read calls an action that changes nothing.
func (c *Client) read(ctx context.Context, action string, fields, result any) error {
	return c.send(ctx, action, fields, result, "")
}

func (c *Client) send(ctx context.Context, action string, fields, result any, key string) error {
	content, err := c.content(action, fields, key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	sent := attempts{content, Call{RequestID: randomID(), IdempotencyKey: key}}
	mayHaveHappened := false
	for pause := firstPause; ; pause *= 2 {
		problem := c.attempt(ctx, &sent, result)
		if problem == nil {
			return nil
		}
		call := problem.Details()
		mayHaveHappened = mayHaveHappened || call.OutcomeIsUnknown
		if !isFinal(problem) {
			call.OutcomeIsUnknown = mayHaveHappened
		}
		wait, isRetryable := waitAfter(problem, pause)
		if !isRetryable || !time.Now().Add(wait).Before(deadline) {
			return problem
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return problem
		}
	}
}

// content returns the request. Fields are those of a struct, or nil.
func (c *Client) content(action string, fields any, key string) ([]byte, error) {
	sent := map[string]json.RawMessage{}
	if fields != nil {
		given, err := json.Marshal(fields)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(given, &sent); err != nil {
			return nil, err
		}
	}
	own := map[string]string{
		"business_id": c.businessID, "api_key": string(c.apiKey), "action": action,
	}
	if key != "" {
		own["idempotency_key"] = key
	}
	for name, value := range own {
		sent[name], _ = json.Marshal(value) // text always has a JSON form
	}
	return json.Marshal(sent)
}

func (c *Client) attempt(ctx context.Context, sent *attempts, result any) CallError {
	var wasSent atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { wasSent.Store(true) }}
	request, err := http.NewRequestWithContext(
		httptrace.WithClientTrace(ctx, trace), http.MethodPost, c.url, bytes.NewReader(sent.content),
	)
	call := sent.call
	if err != nil {
		call.Message = err.Error()
		return &ConnectionError{call, false, err}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "nivisco-go/"+Version)
	request.Header.Set("X-Request-Id", call.RequestID)
	response, err := c.http.Do(request)
	var body []byte
	if err == nil {
		defer response.Body.Close()
		body, err = io.ReadAll(response.Body)
	}
	if err != nil {
		call.Message = fmt.Sprintf("no response (%v)", err)
		call.OutcomeIsUnknown = wasSent.Load() && call.IdempotencyKey != ""
		return &ConnectionError{call, wasSent.Load(), err}
	}
	if id := response.Header.Get("X-Request-Id"); id != "" {
		call.RequestID = id
	}
	return readResponse(response, body, call, result)
}

func readResponse(response *http.Response, body []byte, call Call, result any) CallError {
	status := response.StatusCode
	var retryAfter *int
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		retryAfter = &seconds
	}
	unexpected := func() CallError {
		call.Message = fmt.Sprintf("HTTP %d with a response that is not from the API; check the URL", status)
		call.OutcomeIsUnknown = call.IdempotencyKey != ""
		return &UnexpectedResponseError{call, status, retryAfter}
	}
	var found map[string]json.RawMessage
	var isSuccess bool
	if json.Unmarshal(body, &found) != nil || json.Unmarshal(found["success"], &isSuccess) != nil {
		return unexpected()
	}
	if status < 200 || status > 299 || !isSuccess {
		text := func(name string) string {
			var value string
			_ = json.Unmarshal(found[name], &value) // absent or another kind: empty
			return value
		}
		call.Message = text("error")
		call.OutcomeIsUnknown = call.IdempotencyKey != "" && status >= 500
		problem := &APIError{
			Call: call, HTTPStatus: status, Code: ErrorCode(text("code")), RetryAfter: retryAfter,
			DeclineCode: text("decline_code"), TransactionID: text("transaction_id"),
			PaymentID: text("payment_id"), ClientSecret: Secret(text("client_secret")), Body: Secret(body),
		}
		if problem.Code == "" {
			problem.Code = ErrorCode(response.Header.Get("X-Error-Code"))
		}
		if problem.Code == "" {
			problem.Code = codeOfStatus[status]
		}
		_ = json.Unmarshal(found["fields"], &problem.Fields) // absent: none
		return problem
	}
	found["request_id"], _ = json.Marshal(call.RequestID)
	whole, err := json.Marshal(found)
	if err != nil || json.Unmarshal(whole, result) != nil {
		return unexpected()
	}
	return nil
}

// isFinal returns whether an error is the final outcome, also of an earlier attempt.
func isFinal(problem CallError) bool {
	var api *APIError
	return errors.As(problem, &api) &&
		(api.HTTPStatus == 402 || api.HTTPStatus == 404 || api.HTTPStatus == 409)
}

func waitAfter(problem CallError, pause time.Duration) (time.Duration, bool) {
	spread, err := rand.Int(rand.Reader, big.NewInt(int64(pause/2)+1))
	if err == nil {
		pause += time.Duration(spread.Int64())
	}
	var status int
	var after *int
	switch found := problem.(type) {
	case *APIError:
		status, after = found.HTTPStatus, found.RetryAfter
	case *UnexpectedResponseError:
		status, after = found.HTTPStatus, found.RetryAfter
	default:
		return pause, true
	}
	if after != nil && time.Duration(*after)*time.Second > pause {
		pause = time.Duration(*after) * time.Second
	}
	isTransient := status == 408 || status == 429 || status >= 500
	return pause, isTransient && status != http.StatusNotImplemented
}

func randomID() string {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		panic(err) // without randomness no key is safe
	}
	return hex.EncodeToString(id)
}

// Iterator goes through all pages of a list.
//
//	for payments.Next(ctx) {
//		payment := payments.Value()
//	}
//	err := payments.Err()
type Iterator[T any] struct {
	load   func(context.Context, *string) ([]T, *string, error)
	page   []T
	cursor *string
	isLast bool
	err    error
	value  T
}

// Next goes to the next item. It returns false after the last one, and if a call did not succeed.
func (i *Iterator[T]) Next(ctx context.Context) bool {
	for len(i.page) == 0 {
		if i.isLast || i.err != nil {
			return false
		}
		i.page, i.cursor, i.err = i.load(ctx, i.cursor)
		i.isLast = i.cursor == nil
	}
	i.value, i.page = i.page[0], i.page[1:]
	return true
}

// Value returns the item that Next went to.
func (i *Iterator[T]) Value() T { return i.value }

// Err returns the error of the call that did not succeed, if one did not.
func (i *Iterator[T]) Err() error { return i.err }
