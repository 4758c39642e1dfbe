package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/test/gwtest"
)

// TestClientStopsReading holds that a client that accepts no byte for weir.timeouts.client is cut, its upstream freed and its record says
// that it left.
func TestClientStopsReading(t *testing.T) {
	freed := make(chan struct{})
	up := gwtest.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(freed)
		w.Header().Set("Content-Type", "text/event-stream")
		event := []byte("data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + strings.Repeat("a", 32<<10) + "\"}}]}\n\n")
		for r.Context().Err() == nil {
			if _, err := io.Copy(w, bytes.NewReader(event)); err != nil {
				return
			}
		}
	})
	g := gwtest.Start(t, config(up.URL)+"weir:\n  timeouts: {client: 200ms}\n")
	c, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, body := ask("openai", "m-openai", true)
	fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", gwtest.MasterKey, len(body), body)
	select {
	case <-freed:
	case <-time.After(20 * time.Second):
		t.Fatal("the upstream was never freed")
	}
	if r := theRecord(t, g); !r.ClientGone {
		t.Errorf("recorded as %+v; want the client gone", r)
	}
}
