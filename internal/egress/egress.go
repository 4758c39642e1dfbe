// Package egress makes every outbound HTTP call of the gateway: pooled connections, timeouts by phase, TLS, proxies, address rules that
// hold after DNS, and in-process upstreams under names of their own.
//
// It is on the hot path, imports nothing of ours but http1 and may be imported by anyone. Nobody else calls net/http's client.
package egress

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Options of a Client; the zero value is a working one.
type Options struct {
	// DialTimeout bounds the time to a connection where a call's Timeouts say nothing, 30 s if 0.
	DialTimeout time.Duration
	// Proxy chooses the proxy of a request, http.ProxyFromEnvironment if nil. A Public client uses none.
	Proxy func(*http.Request) (*url.URL, error)
	// TLS is the configuration of https connections, cloned; nil is the standard one.
	TLS *tls.Config
	// Local maps a URL's host ("demo.weir.internal") to a handler that answers in this process.
	Local map[string]http.Handler
	// Public refuses every address that is not on the public internet. It is checked when the connection is made, after DNS, so
	// that neither a name nor a redirect leads inside. For fetching URLs that users give.
	Public bool
	// MaxIdlePerHost is how many unused connections are kept for each host, 512 if 0, and IdleTimeout for how long, 90 s if 0.
	MaxIdlePerHost int
	IdleTimeout    time.Duration
}

// Client makes calls. It is safe for concurrent use. It follows no redirect: a redirect is an answer like any other.
type Client struct {
	opts  Options
	lean  *lean
	std   *http.Transport
	local map[string]http.RoundTripper
}

// New makes a Client.
func New(o Options) *Client {
	if o.DialTimeout == 0 {
		o.DialTimeout = 30 * time.Second
	}
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.Public {
		o.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	if o.MaxIdlePerHost == 0 {
		o.MaxIdlePerHost = 512
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 90 * time.Second
	}
	dialer := &net.Dialer{}
	if o.Public {
		dialer.Control = publicOnly
	}
	c := &Client{opts: o, local: map[string]http.RoundTripper{}}
	c.lean = &lean{dialer: dialer, pool: pool{max: o.MaxIdlePerHost, timeout: o.IdleTimeout}}
	c.std = &http.Transport{
		Proxy:               o.Proxy,
		DialContext:         dialer.DialContext,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true,
		MaxIdleConnsPerHost: o.MaxIdlePerHost,
		IdleConnTimeout:     o.IdleTimeout,
		TLSHandshakeTimeout: o.DialTimeout,
		TLSClientConfig:     o.TLS.Clone(),
	}
	for host, h := range o.Local {
		c.local[host] = Handler(h)
	}
	return c
}

// Do sends one request and gives the answer's head; the body comes as it is read and must be closed. The request's context cancels the
// call until the body is closed, at once and whoever waits. The request's body is closed in every case. An error of a timeout,
// from here or from a read of the body, is a *TimeoutError.
func (c *Client) Do(req *http.Request, t Timeouts) (*http.Response, error) {
	if rt, ok := c.local[req.URL.Host]; ok {
		return watched(rt, req, t)
	}
	if t.Connect == 0 {
		t.Connect = c.opts.DialTimeout
	}
	req = basicAuth(req)
	if c.lean.serves(req) {
		proxy, err := c.opts.Proxy(req)
		if err != nil {
			if req.Body != nil {
				req.Body.Close()
			}
			return nil, fmt.Errorf("choose proxy: %w", err)
		}
		if proxy == nil {
			return c.lean.do(req, t)
		}
	}
	return watched(c.std, req, t)
}

// CloseIdle closes the connections that nobody uses.
func (c *Client) CloseIdle() {
	c.lean.pool.closeIdle(false)
	c.std.CloseIdleConnections()
}

// Close closes the connections that nobody uses; those in use are closed when their calls end. The Client must not be used again.
func (c *Client) Close() {
	c.lean.pool.closeIdle(true)
	c.std.CloseIdleConnections()
}
