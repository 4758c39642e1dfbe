package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/mock"
	"github.com/weir-gateway/weir/internal/provider"
)

// mockCommand serves a made-up provider.
func mockCommand(ctx context.Context, args []string, stdout, stderr io.Writer, env func(string) string) error {
	f := newFlags("mock", stderr, func(name string) string { return env("WEIR_MOCK_" + name[len("WEIR_"):]) })
	var o mock.Options
	host := f.String("host", "127.0.0.1", "address to listen on")
	port := f.Int("port", 9100, "port to listen on; 0 takes a free one")
	f.StringVar(&o.Answer, "answer", "fixed", "fixed, echo or demo")
	f.StringVar(&o.Text, "text", "", "text of a fixed answer")
	f.IntVar(&o.Bytes, "bytes", 0, "pad the text to this many bytes")
	f.DurationVar(&o.Latency, "latency", 0, "time before the answer's head")
	f.DurationVar(&o.TTFT, "ttft", 0, "time before a stream's first chunk")
	f.DurationVar(&o.Pace, "pace", 0, "time between chunks")
	f.IntVar(&o.Chunks, "chunks", 0, "pieces a streamed text comes in; 0: one per word")
	f.StringVar(&o.Fault, "fault", "", "what goes wrong: "+faults())
	f.IntVar(&o.RetryAfter, "retry-after", 0, "Retry-After of a status fault, in seconds")
	if err := f.parse(args); err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(*host, strconv.Itoa(*port)))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Fprintf(stdout, "weir mock is listening on http://%s\n", l.Addr())
	s := &http.Server{Handler: mock.New(o, nil), ReadHeaderTimeout: 30 * time.Second, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	stopped := make(chan struct{})
	go func() {
		<-ctx.Done()
		_ = s.Close()
		close(stopped)
	}()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-stopped
	return nil
}

func faults() string {
	s := ""
	for i, f := range mock.Faults {
		if i > 0 {
			s += ", "
		}
		s += f.Name
	}
	return s
}

// providersCommand lists the provider kinds.
func providersCommand(stdout io.Writer) error {
	for _, r := range provider.Table() {
		fmt.Fprintf(stdout, "%-24s %-28s %s\n", r.Name+"/", r.KeyVariable(), r.BaseURL)
	}
	return nil
}

// migrate brings the database up to date.
func migrate(ctx context.Context, args []string, stdout, stderr io.Writer, env func(string) string) error {
	f := newFlags("migrate", stderr, env)
	configPath := f.String("config", "", "configuration that names the database")
	dataDir := f.String("data-dir", "", "data directory (default weir-data)")
	if err := f.parse(args); err != nil {
		return err
	}
	version, err := app.Migrate(ctx, *configPath, *dataDir, env)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "the database is at version %d\n", version)
	return nil
}
