// Reads calls from stdin and makes them with the Go client.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	nivisco "payments.nivisco/client"
)

type call struct {
	Action         string          `json:"action"`
	Fields         json.RawMessage `json:"fields"`
	IdempotencyKey *string         `json:"idempotency_key"`
}

var inUTC = regexp.MustCompile(`"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z"`)

func main() {
	seconds, _ := strconv.ParseFloat(os.Getenv("CLIENT_TIMEOUT_SECONDS"), 64)
	options := []nivisco.Option{nivisco.Timeout(time.Duration(seconds * float64(time.Second)))}
	if _, isAllowed := os.LookupEnv("CLIENT_ALLOW_PLAIN_HTTP"); isAllowed {
		options = append(options, nivisco.AllowPlainHTTP())
	}
	client, err := nivisco.New(
		os.Getenv("CLIENT_URL"), os.Getenv("CLIENT_BUSINESS_ID"), os.Getenv("CLIENT_API_KEY"), options...,
	)
	if err != nil {
		log.Fatal(err)
	}
	show(map[string]any{"shown": printed(client)})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var each call
		if err := json.Unmarshal(lines.Bytes(), &each); err != nil {
			log.Fatal(err)
		}
		show(made(client, each))
	}
}

func printed(value any) string { return fmt.Sprintf("%v %+v %#v", value, value, value) }

func show(result map[string]any) {
	line, err := json.Marshal(result)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(inUTC.ReplaceAll(line, []byte(`"$1+00:00"`))))
}

func made(client *nivisco.Client, each call) map[string]any {
	name := ""
	for _, part := range strings.Split(each.Action, "_") {
		if part == "api" {
			part = "API"
		}
		name += strings.ToUpper(part[:1]) + part[1:]
	}
	method := reflect.ValueOf(client).MethodByName(name)
	isIteration := strings.HasPrefix(each.Action, "iterate_")
	var given []reflect.Value
	if !isIteration {
		given = append(given, reflect.ValueOf(context.Background()))
	}
	if index := len(given); method.Type().NumIn() > index && method.Type().In(index).Kind() == reflect.Struct {
		fields := reflect.New(method.Type().In(index))
		decoder := json.NewDecoder(bytes.NewReader(each.Fields))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(fields.Interface()); err != nil {
			log.Fatal(err)
		}
		clear(fields.Elem(), each.Fields)
		given = append(given, fields.Elem())
	}
	if each.IdempotencyKey != nil {
		given = append(given, reflect.ValueOf(nivisco.IdempotencyKey(*each.IdempotencyKey)))
	}
	results := method.Call(given)
	if isIteration {
		return listed(results[0])
	}
	if err, isError := results[1].Interface().(error); isError {
		return map[string]any{"error": failed(err), "shown": printed(err) + fmt.Sprintf("%+v", reflect.ValueOf(err).Elem())}
	}
	return map[string]any{"result": results[0].Interface(), "shown": printed(results[0].Elem().Interface())}
}

// clear sets what is null to what the client sends as null.
func clear(fields reflect.Value, text json.RawMessage) {
	var given map[string]json.RawMessage
	if json.Unmarshal(text, &given) != nil {
		return
	}
	for index := 0; index < fields.NumField(); index++ {
		name, _, _ := strings.Cut(fields.Type().Field(index).Tag.Get("json"), ",")
		field := fields.Field(index)
		if string(given[name]) == "null" {
			field.Set(reflect.New(field.Type().Elem()))
		} else if field.Kind() == reflect.Struct && given[name] != nil {
			clear(field, given[name])
		}
	}
}

func listed(iterator reflect.Value) map[string]any {
	items := []any{}
	for iterator.MethodByName("Next").Call([]reflect.Value{reflect.ValueOf(context.Background())})[0].Bool() {
		items = append(items, iterator.MethodByName("Value").Call(nil)[0].Interface())
	}
	if err, isError := iterator.MethodByName("Err").Call(nil)[0].Interface().(error); isError {
		return map[string]any{"error": failed(err), "shown": printed(err)}
	}
	return map[string]any{"result": map[string]any{"items": items}, "shown": ""}
}

func failed(err error) map[string]any {
	var problem nivisco.CallError
	if !errors.As(err, &problem) {
		log.Fatal(err)
	}
	call := problem.Details()
	shown := map[string]any{
		"message": call.Message, "request_id": call.RequestID, "outcome_is_unknown": call.OutcomeIsUnknown,
		"idempotency_key": orNull(call.IdempotencyKey),
	}
	switch found := problem.(type) {
	case *nivisco.APIError:
		shown["kind"], shown["code"], shown["http_status"] = "ApiError", found.Code, found.HTTPStatus
		shown["fields"] = append([]nivisco.FieldProblem{}, found.Fields...)
		shown["retry_after"] = found.RetryAfter
		shown["decline_code"], shown["transaction_id"] = orNull(found.DeclineCode), orNull(found.TransactionID)
		shown["payment_id"], shown["client_secret"] = orNull(found.PaymentID), orNull(string(found.ClientSecret))
		shown["body"] = json.RawMessage(found.Body)
	case *nivisco.ConnectionError:
		shown["kind"], shown["was_sent"] = "ConnectionFailed", found.WasSent
	case *nivisco.UnexpectedResponseError:
		shown["kind"], shown["http_status"], shown["retry_after"] = "UnexpectedResponse", found.HTTPStatus, found.RetryAfter
	}
	return shown
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
