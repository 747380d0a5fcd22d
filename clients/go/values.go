package nivisco

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

const usualDecimals = 2

var plainDecimal = regexp.MustCompile(`^-?\d+(\.\d+)?$`)

// Amount is an exact amount of money, a decimal such as "25.50". Of a response it has the decimals
// of its currency.
type Amount string

// UnmarshalJSON reads a JSON number without a float.
func (a *Amount) UnmarshalJSON(data []byte) error {
	if text := strings.Trim(string(data), `"`); text != "null" {
		*a = Amount(text)
	}
	return nil
}

// in returns the amount with the decimals of a currency, and never with fewer than it has.
func (a Amount) in(currency string) Amount {
	if currency == "" || !plainDecimal.MatchString(string(a)) {
		return a
	}
	digits, isKnown := decimals[currency]
	if !isKnown {
		digits = usualDecimals
	}
	whole, fraction, _ := strings.Cut(string(a), ".")
	if missing := digits - len(fraction); missing > 0 {
		fraction += strings.Repeat("0", missing)
	}
	if fraction == "" {
		return Amount(whole)
	}
	return Amount(whole + "." + fraction)
}

// Time is a time of a request in ISO 8601, or a date. At makes one.
type Time string

// At returns a time of a request. Without a fraction it stands for its whole second.
func At(moment time.Time) Time {
	return Time(moment.UTC().Format(time.RFC3339Nano))
}

// Moment is a time of a response, in UTC.
type Moment struct{ time.Time }

// UnmarshalJSON reads the API's form of a time.
func (m *Moment) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	read, err := time.ParseInLocation("2006-01-02 15:04:05", text, time.UTC)
	m.Time = read
	return err
}

// Secret is text that is not printed. JSON has it.
type Secret string

// String returns what is printed in its place.
func (Secret) String() string { return "(secret)" }

// GoString returns what is printed in its place.
func (Secret) GoString() string { return "(secret)" }

// Nullable is a new value of an optional field in an update, or null, which clears it.
type Nullable[T any] struct{ value *T }

// To returns a new value of an optional field.
func To[T any](value T) *Nullable[T] { return &Nullable[T]{&value} }

// Clear returns what clears an optional field.
func Clear[T any]() *Nullable[T] { return &Nullable[T]{} }

// MarshalJSON writes the value, or null.
func (n Nullable[T]) MarshalJSON() ([]byte, error) { return json.Marshal(n.value) }

// UnmarshalJSON reads a value.
func (n *Nullable[T]) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &n.value) }

// Ptr returns a pointer to the value, for optional fields.
func Ptr[T any](value T) *T { return &value }

// read reads an object that has all of the fields.
func read(data []byte, into any, names ...string) error {
	var found map[string]json.RawMessage
	if err := json.Unmarshal(data, &found); err != nil {
		return err
	}
	for _, name := range names {
		if _, isThere := found[name]; !isThere {
			return fmt.Errorf("%s is missing", name)
		}
	}
	return json.NewDecoder(bytes.NewReader(data)).Decode(into)
}

func pad(amount *Amount, currency *string) {
	if amount != nil && currency != nil {
		*amount = amount.in(*currency)
	}
}
