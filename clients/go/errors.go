package nivisco

import "fmt"

// CallError is any error of a call that was begun: *APIError, *ConnectionError or
// *UnexpectedResponseError. Its text and fields never have the API key.
type CallError interface {
	error
	// Details returns what is known of the call.
	Details() *Call
}

// Call is what is known of a call that did not succeed.
type Call struct {
	Message string

	// RequestID is the id to quote to support.
	RequestID string

	// IdempotencyKey is the key of a mutating call, with which it is safe to repeat, or empty.
	IdempotencyKey string

	// OutcomeIsUnknown says that the call may have taken effect, by this attempt or an earlier one.
	OutcomeIsUnknown bool
}

// Details returns what is known of the call.
func (c *Call) Details() *Call { return c }

// Error returns the message.
func (c *Call) Error() string { return c.Message }

// FieldProblem is a problem of one field of a request.
type FieldProblem struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

// APIError is an error that the API returned.
type APIError struct {
	Call

	HTTPStatus int

	// Code is one of the ErrorCode constants, or newer than this library, or empty.
	Code ErrorCode

	// Fields has, with InvalidFields, the invalid fields.
	Fields []FieldProblem

	// DeclineCode is, with CardDeclined, the gateway's decline code.
	DeclineCode string

	// TransactionID is the gateway's id of the payment, if there is one.
	TransactionID string

	// PaymentID is the id of the payment, PAY-…, if there is one.
	PaymentID string

	// ClientSecret is, with AuthenticationRequired, what Stripe's browser library needs to have the
	// customer authenticate. For that customer's browser only: do not log it.
	ClientSecret Secret

	// RetryAfter has the seconds to wait before a retry, if the API returns them.
	RetryAfter *int

	// Body is the whole response. It may have more fields than this library knows, and the client
	// secret.
	Body Secret
}

// Error returns the message, the status and the code.
func (e *APIError) Error() string {
	return fmt.Sprintf("%s (HTTP %d %s)", e.Message, e.HTTPStatus, e.Code)
}

// ConnectionError says that no response arrived in time.
type ConnectionError struct {
	Call

	// WasSent says that some of the request may have left. It is false if no connection was made.
	WasSent bool

	cause error
}

// Unwrap returns the cause, such as context.Canceled.
func (e *ConnectionError) Unwrap() error { return e.cause }

// UnexpectedResponseError says that the response is not from the API: the URL may be wrong, or a
// proxy responded.
type UnexpectedResponseError struct {
	Call

	HTTPStatus int

	// RetryAfter has the seconds to wait before a retry, if the response has them.
	RetryAfter *int
}
