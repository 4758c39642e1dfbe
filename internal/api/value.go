package api

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/llm"
)

// object is a JSON object of a reply.
type object = map[string]any

// reply is a result with a status of its own.
type reply struct {
	status int
	value  any
}

// money is an amount of USD in a request or a reply: a JSON number with a fraction, exact to the nano-dollar, as llm.Nanos is.
type money llm.Nanos

// MarshalJSONTo writes 10.0, 0.5, 0.000001: never an exponent, never the noise of binary fractions.
func (m money) MarshalJSONTo(enc *jsontext.Encoder) error {
	return enc.WriteValue(jsontext.Value(m.String()))
}

// String is the amount as a decimal with at least one place.
func (m money) String() string {
	sign, n := "", uint64(m)
	if m < 0 {
		sign, n = "-", -n
	}
	frac := strconv.FormatUint(n%1e9+1e9, 10)[1:]
	frac = strings.TrimRight(frac[1:], "0")
	return sign + strconv.FormatUint(n/1e9, 10) + "." + strconv.FormatUint(n%1e9/1e8, 10) + frac
}

// maxMoney bounds an amount, in USD: more does not fit.
const maxMoney = 9_000_000_000

// parseMoney reads a decimal number, with or without an exponent; digits beyond the nano-dollar are rounded.
func parseMoney(s string) (money, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != f || f > maxMoney || f < -maxMoney {
		return 0, false
	}
	// Through decimal text, so that 0.1 is 0.1.
	whole, frac, _ := strings.Cut(strconv.FormatFloat(f, 'f', 9, 64), ".")
	n, err := strconv.ParseInt(whole+frac, 10, 64)
	return money(n), err == nil
}

// dollars is an amount that may be absent.
func dollars(n *llm.Nanos) any {
	if n == nil {
		return nil
	}
	return money(*n)
}

// number is a number that may be absent.
func number(n *int64) any {
	if n == nil {
		return nil
	}
	return *n
}

// text is a string that is null when empty.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// moment is a time in Unix milliseconds as LiteLLM writes it, null when 0.
func moment(ms int64) any {
	if ms == 0 {
		return nil
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000000Z")
}

// list is a slice that is [] when nil.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// dict is a map that is {} when nil.
func dict[T any](m map[string]T) map[string]T {
	if m == nil {
		return map[string]T{}
	}
	return m
}

// orNull is a map that is null when empty.
func orNull[T any](m map[string]T) any {
	if len(m) == 0 {
		return nil
	}
	return m
}

// pages is how many pages of a size hold total rows.
func pages(total, size int64) int64 { return (total + size - 1) / size }
