// Command gen turns a price map in LiteLLM's JSON schema into the data file embedded by package usage. See ../PRICES.md.
package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"

	"github.com/weir-gateway/weir/internal/usage"
)

func main() {
	in := flag.String("in", "", "price map in LiteLLM's schema (model_prices_and_context_window.json)")
	out := flag.String("out", "prices.gz", "file to write")
	date := flag.String("date", "", "day of the prices, YYYY-MM-DD")
	flag.Parse()
	if err := run(*in, *out, *date); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in, out, date string) error {
	if in == "" || date == "" {
		return fmt.Errorf("usage: gen -in price-map.json -date YYYY-MM-DD [-out prices.gz]")
	}
	text, err := os.ReadFile(in)
	if err != nil {
		return fmt.Errorf("read the price map: %w", err)
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
