// Command gen turns a price map in LiteLLM's JSON schema into the data file embedded by package usage. See ../PRICES.md.
package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/weir-gateway/weir/internal/usage"
)

func main() {
	in := flag.String("in", "", "price map in LiteLLM's schema (model_prices_and_context_window.json)")
	more := flag.String("more", "", "a second map of that schema, for what the first does not have")
	out := flag.String("out", "prices.gz", "file to write")
	date := flag.String("date", "", "day of the prices, YYYY-MM-DD")
	flag.Parse()
	if err := run(*in, *more, *out, *date); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in, more, out, date string) error {
	if in == "" || date == "" {
		return fmt.Errorf("usage: gen -in price-map.json -date YYYY-MM-DD [-more retired.json] [-out prices.gz]")
	}
	text, err := os.ReadFile(in)
	if err != nil {
		return fmt.Errorf("read the price map: %w", err)
	}
	if more != "" {
		if text, err = merge(text, more); err != nil {
			return err
		}
	}
	compact, skipped, err := usage.CompilePrices(text, date)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(compact); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	fmt.Printf("%d models, %d bytes, %d compressed; left out: %v\n", bytes.Count(compact, []byte("\n"))-1, len(compact), b.Len(), skipped)
	return os.WriteFile(out, b.Bytes(), 0o644)
}

// merge adds the entries of a second map that the first does not have.
func merge(text []byte, more string) ([]byte, error) {
	extra, err := os.ReadFile(more)
	if err != nil {
		return nil, fmt.Errorf("read the second price map: %w", err)
	}
	var first, second map[string]jsontext.Value
	if err := json.Unmarshal(text, &first, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, fmt.Errorf("read the price map: %w", err)
	}
	if err := json.Unmarshal(extra, &second); err != nil {
		return nil, fmt.Errorf("read %s: %w", more, err)
	}
	for name, entry := range second {
		if _, have := first[name]; !have {
			first[name] = entry
		}
	}
	return json.Marshal(first)
}
