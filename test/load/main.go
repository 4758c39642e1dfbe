// Command load measures Weir beside nginx as a plain proxy, in front of the same `weir mock`, in alternation, on one machine, and prints a
// table. CPU is what the operating system charged to the processes, so that a noisy machine or a slow client does not show in it.
//
// docs/performance.md says how to read the table. It exits with 1 if something could not be measured and with 2, under -strict, if a target
// was missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// scenario is one kind of traffic.
type scenario struct {
	name     string
	body     string
	parallel int
	calls    int // of one round
	target   float64
	key      string
}

// options are the command line.
type options struct {
	weir    string
	nginx   string
	rounds  int
	scale   float64
	only    string
	streams int
	limit   time.Duration
	profile string
}

var errMissed = errors.New("a target was missed")

func main() {
	var o options
	flag.StringVar(&o.weir, "weir", "bin/weir", "the program to measure")
	flag.StringVar(&o.nginx, "nginx", "nginx", "nginx's program")
	flag.IntVar(&o.rounds, "rounds", 7, "rounds of each scenario per proxy")
	flag.Float64Var(&o.scale, "scale", 1, "factor on the number of calls")
	flag.StringVar(&o.only, "only", "", "run only scenarios whose name contains this; 'memory' is one")
	flag.IntVar(&o.streams, "open", 1000, "open slow streams for the memory figure; 0: skip")
	flag.DurationVar(&o.limit, "limit", 4*time.Minute, "give up after this long")
	flag.StringVar(&o.profile, "profile", "", "also write a CPU profile of Weir per scenario into this directory")
	strict := flag.Bool("strict", false, "exit with 2 if a target was missed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, o.limit, fmt.Errorf("not done after %v", o.limit))
	defer cancel()
	err := run(ctx, o)
	switch {
	case err == nil:
	case errors.Is(err, errMissed):
		fmt.Println(err)
		if *strict {
			os.Exit(2)
		}
	default:
		if cause := context.Cause(ctx); cause != nil {
			err = errors.Join(cause, err)
		}
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// run measures everything. What the children said is shown if something went wrong.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "weir-load")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := start(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && !errors.Is(err, errMissed) {
			err = fmt.Errorf("%w\n%s", err, b.said())
		}
		b.stop()
	}()
	// Settled: the runtime has given back what starting up needed.
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	rest := rss(b.weir.pid())
	missed, err := table(ctx, b, o)
	if err != nil {
		return err
	}
	if strings.Contains("memory", o.only) {
		fmt.Printf("memory at rest: %.1f MiB (target <= 25)\n", float64(rest)/(1<<20))
		missed = missed || rest > 25<<20
		if o.streams > 0 {
			per, err := b.openStreams(ctx, o.streams)
			if err != nil {
				return fmt.Errorf("open streams: %w", err)
			}
			fmt.Printf("memory per open slow stream, of %d: %.1f KiB (target <= 60)\n", o.streams, per/(1<<10))
			missed = missed || per > 60<<10
		}
	}
	if missed {
		return errMissed
	}
	return nil
}

// table measures the scenarios and prints a line for each.
func table(ctx context.Context, b *bench, o options) (missed bool, err error) {
	limited, err := b.limitedKey(ctx)
	if err != nil {
		return false, err
	}
	scenarios := []scenario{
		{"2 KB call", chat("mock?text=ok", 2<<10, false), 16, 4000, 3, key},
		{"2 KB call, all limits", chat("mock?text=ok", 2<<10, false), 16, 4000, 3.3, limited},
		{"200 KB call", chat("mock?text=ok", 200<<10, false), 8, 600, 2, key},
		{"stream of 100 chunks", chat("mock?chunks=100&pace=2ms&bytes=1200", 2<<10, true), 32, 192, 1.5, key},
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "scenario\tnginx CPU us\tWeir CPU us\tratio\ttarget\tnginx p50 +us\tWeir p50 +us\tnginx p99 +us\tWeir p99 +us\t")
	for _, s := range scenarios {
		if !strings.Contains(s.name, o.only) {
			continue
		}
		s.calls = max(s.parallel, int(float64(s.calls)*o.scale))
		r, err := b.measure(ctx, s, o)
		if err != nil {
			return false, errors.Join(out.Flush(), fmt.Errorf("%s: %w", s.name, err))
		}
		missed = missed || r.ratio > s.target
		fmt.Fprintf(out, "%s\t%.1f\t%.1f\t%.2fx\t<= %.1fx\t%.0f\t%.0f\t%.0f\t%.0f\t\n", s.name, r.nginx.cpu, r.weir.cpu, r.ratio, s.target,
			r.nginx.p50-r.direct.p50, r.weir.p50-r.direct.p50, r.nginx.p99-r.direct.p99, r.weir.p99-r.direct.p99)
	}
	return missed, out.Flush()
}

// figures of one burst, or medians over the rounds, in microseconds; CPU per call.
type figures struct{ cpu, p50, p99 float64 }

// result is one line of the table.
type result struct {
	direct, nginx, weir figures
	ratio               float64 // of CPU: the median of the rounds' own ratios, so that a drift of the machine cancels out
}

// measure runs rounds of direct, nginx, Weir, in turn.
func (b *bench) measure(ctx context.Context, s scenario, o options) (result, error) {
	var direct, nginx, weir []figures
	var ratios []float64
	pass := func(to endpoint) (figures, error) {
		f, err := b.burst(ctx, to, s)
		if err != nil {
			return f, fmt.Errorf("through %s: %w", to.name, err)
		}
		return f, nil
	}
	for round := -1; round < o.rounds; round++ { // the first warms up
		var f [3]figures
		for i, to := range []endpoint{b.direct(), b.viaNginx(), b.viaWeir()} {
			var err error
			if f[i], err = pass(to); err != nil {
				return result{}, err
			}
		}
		if round < 0 {
			continue
		}
		direct, nginx, weir = append(direct, f[0]), append(nginx, f[1]), append(weir, f[2])
		ratios = append(ratios, f[2].cpu/f[1].cpu)
	}
	if o.profile != "" {
		if err := b.writeProfile(ctx, s, o.profile); err != nil {
			return result{}, err
		}
	}
	return result{middle(direct), middle(nginx), middle(weir), median(ratios)}, nil
}

func middle(list []figures) figures {
	get := func(f func(figures) float64) float64 {
		v := make([]float64, len(list))
		for i := range list {
			v[i] = f(list[i])
		}
		return median(v)
	}
	return figures{
		cpu: get(func(f figures) float64 { return f.cpu }),
		p50: get(func(f figures) float64 { return f.p50 }),
		p99: get(func(f figures) float64 { return f.p99 }),
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// chat builds a request of about size bytes.
func chat(model string, size int, stream bool) string {
	head := fmt.Sprintf(`{"model":%q,"stream":%v,"messages":[{"role":"user","content":"`, model, stream)
	return head + strings.Repeat("All work and no play makes Jack a dull boy. ", max(0, size-len(head)-4)/44) + `"}]}`
}

// pause lets time pass.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
