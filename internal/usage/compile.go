package usage

import (
	"bytes"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// CompilePrices turns a price map in LiteLLM's JSON schema into the compact form that Prices reads: a header line with the date and the
// names of the numbers and flags in use, then a line per model, sorted by name. What the form can't hold (free text, off-peak windows,
// matching rules) is left out. A model whose entry can't be read is left out too and named in skipped.
func CompilePrices(text []byte, date string) (compact []byte, skipped []string, err error) {
	var models map[string]jsontext.Value
	if err := json.Unmarshal(text, &models, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, nil, fmt.Errorf("read the price map: %w", err)
	}
	c := compiler{numbers: map[string]int{}, flags: map[string]int{}}
	var lines bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(models)) {
		if name == "sample_spec" || strings.ContainsAny(name, "\t\n") {
			continue
		}
		line, ok := c.line(models[name])
		if !ok {
			skipped = append(skipped, name)
			continue
		}
		lines.WriteString(name + "\t" + line + "\n")
	}
	var out bytes.Buffer
	out.WriteString("weir-prices-1\t" + date + "\t" + strings.Join(names(c.numbers), ",") + "\t" + strings.Join(names(c.flags), ",") + "\n")
	out.Write(lines.Bytes())
	return out.Bytes(), skipped, nil
}

// compiler numbers the fields in the order they are met.
type compiler struct{ numbers, flags map[string]int }

func names(index map[string]int) []string {
	out := make([]string, len(index))
	for name, i := range index {
		out[i] = name
	}
	return out
}

func number(index map[string]int, name string) string {
	i, ok := index[name]
	if !ok {
		i = len(index)
		index[name] = i
	}
	return strconv.FormatInt(int64(i), 36)
}

// line is a model's: provider, mode, deprecation date, numbers, flags that are true, flags that are false.
func (c *compiler) line(v jsontext.Value) (string, bool) {
	var fields map[string]jsontext.Value
	if json.Unmarshal(v, &fields, jsontext.AllowDuplicateNames(true)) != nil {
		return "", false
	}
	numbers := map[string]string{}
	var provider, mode, until string
	var yes, no []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		f := fields[key]
		if strings.ContainsAny(key, ",=\t\n ") {
			continue
		}
		switch f.Kind() {
		case '"':
			var s string
			if json.Unmarshal(f, &s) != nil || strings.ContainsAny(s, "\t\n") {
				continue
			}
			switch key {
			case "litellm_provider":
				provider = s
			case "mode":
				mode = s
			case "deprecation_date":
				until = s
			default:
				// Hand-written maps have numbers in quotes.
				if n, ok := femto(s); ok && strings.Contains(key, "cost") {
					numbers[key] = n
				}
			}
		case 't':
			yes = append(yes, number(c.flags, key))
		case 'f':
			no = append(no, number(c.flags, key))
		case '0':
			if n, ok := femto(string(f)); ok {
				numbers[key] = n
			}
		default:
			flatten(key, f, numbers)
		}
	}
	if provider == "" && mode == "" && len(numbers) == 0 {
		return "", false
	}
	var list []string
	for _, key := range slices.Sorted(maps.Keys(numbers)) {
		list = append(list, number(c.numbers, key)+"="+numbers[key])
	}
	return strings.Join([]string{provider, mode, until, strings.Join(list, ","), strings.Join(yes, ","), strings.Join(no, ",")}, "\t"), true
}

// flatten gives nested prices names of their own: search prices by context size, and tiers by prompt length as the schema's _above_ keys.
func flatten(key string, f jsontext.Value, numbers map[string]string) {
	switch key {
	case "search_context_cost_per_query":
		var sizes map[string]jsontext.Value
		if json.Unmarshal(f, &sizes) != nil {
			return
		}
		for size, v := range sizes {
			if n, ok := femto(string(v)); ok {
				numbers[key+"_"+strings.TrimPrefix(size, "search_context_size_")] = n
			}
		}
	case "tiered_pricing":
		var tiers []map[string]jsontext.Value
		if json.Unmarshal(f, &tiers) != nil {
			return
		}
		for _, tier := range tiers {
			var bounds []float64
			if json.Unmarshal(tier["range"], &bounds) != nil || len(bounds) == 0 || bounds[0] < 0 {
				continue
			}
			suffix := ""
			if bounds[0] > 0 {
				suffix = fmt.Sprintf("_above_%d_tokens", int64(bounds[0]))
			}
			for name, v := range tier {
				if n, ok := femto(string(v)); ok && strings.Contains(name, "cost") && !strings.ContainsAny(name, ",=\t\n ") {
					numbers[name+suffix] = n
				}
			}
		}
	}
}

// femto is a decimal number in units of 1e-15, exactly, or rounded to the nearest where it is finer. Written short: 25e8.
func femto(text string) (string, bool) {
	if len(text) > 40 {
		return "", false
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		// The exponent bounds the size of the exact number below.
		if e, err := strconv.Atoi(text[i+1:]); err != nil || e > 30 || e < -60 {
			return "", false
		}
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok || r.Sign() < 0 {
		return "", false
	}
	r.Mul(r, new(big.Rat).SetInt64(femtoPerUSD))
	n := new(big.Int).Add(new(big.Int).Mul(r.Num(), big.NewInt(2)), r.Denom())
	n.Quo(n, new(big.Int).Mul(r.Denom(), big.NewInt(2)))
	// A context window counts units, not money, and may not fit once multiplied; it is written whole with a mark.
	if !n.IsInt64() {
		whole := new(big.Int).Quo(n, big.NewInt(femtoPerUSD))
		if !whole.IsInt64() {
			return "", false
		}
		return "w" + short(whole.Int64()), true
	}
	return short(n.Int64()), true
}

func short(n int64) string {
	zeros := 0
	for n != 0 && n%10 == 0 {
		n /= 10
		zeros++
	}
	if zeros < 2 {
		for range zeros {
			n *= 10
		}
		return strconv.FormatInt(n, 10)
	}
	return strconv.FormatInt(n, 10) + "e" + strconv.Itoa(zeros)
}
