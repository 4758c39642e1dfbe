package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/ingress"
)

// listeners are the sockets of the two doors.
type listeners struct {
	user  net.Listener
	admin net.Listener // nil: its default port is taken, by another Weir as a rule
	cert  *certificate
}

// listen opens the sockets, so that a port that is taken is known before anything is promised.
func (a *App) listen() error {
	addr, err := a.address()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w (another address is set with --host and --port, or WEIR_HOST and WEIR_PORT)", err)
	}
	a.listeners = &listeners{user: l}
	if err := a.listenAdmin(); err != nil {
		return err
	}
	cert, key := a.o.TLSCert, a.o.TLSKey
	if cert == "" && key == "" {
		cert, key = a.Config().Weir.TLS.Cert, a.Config().Weir.TLS.Key
	}
	if (cert == "") != (key == "") {
		return errors.New("tls: --tls-cert and --tls-key go together; one of them is missing")
	}
	if cert != "" {
		a.listeners.cert = &certificate{certFile: cert, keyFile: key, now: a.o.Now}
		if _, err := a.listeners.cert.get(nil); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
	}
	return nil
}

// listenAdmin opens the admin door. Where nobody chose its address and the default is taken, there is none: two Weirs run side by side, and
// the user door has it all under /api.
func (a *App) listenAdmin() error {
	address := a.o.AdminListen
	if address == "" {
		address = a.Config().Weir.AdminListen
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("the admin door's address: %w: give host:port, as in 127.0.0.1:4001", err)
	}
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		a.listeners.admin = l
	case a.o.AdminListen == "" && address == config.Default(a.o.Env).Weir.AdminListen && errors.Is(err, syscall.EADDRINUSE):
		a.log.Warn("no admin door: its default address is taken; set another with --admin-listen or WEIR_ADMIN_LISTEN, or use /api on the user door", "address", address)
	default:
		return fmt.Errorf("listen: %w (another address of the admin door is set with --admin-listen or WEIR_ADMIN_LISTEN)", err)
	}
	return nil
}

// AdminURL is the address to reach the admin door at from this machine; empty: there is none.
func (a *App) AdminURL() string {
	if a.listeners.admin == nil {
		return ""
	}
	return "http://" + a.listeners.admin.Addr().String()
}

// address is where the user door listens: the command line's host and port over the configuration's.
func (a *App) address() (string, error) {
	host, port, err := net.SplitHostPort(a.Config().Weir.Listen)
	if err != nil {
		return "", fmt.Errorf("weir.listen: %w: give host:port, as in 0.0.0.0:4000", err)
	}
	if a.o.Host != "" {
		host = a.o.Host
	}
	if a.o.Port >= 0 {
		port = strconv.Itoa(a.o.Port)
	}
	return net.JoinHostPort(host, port), nil
}

// URL is the address to reach the user door at from this machine.
func (a *App) URL() string {
	addr := a.listeners.user.Addr().(*net.TCPAddr)
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http"
	if a.listeners.cert != nil {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(addr.Port))
}

// Run serves until ctx ends or a listener fails, then closes the App. Running calls get the shutdown deadline.
func (a *App) Run(ctx context.Context) error {
	defer a.Close()
	s := &http.Server{
		Handler:           a.handler(),
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          quietLog(a.log),
		Protocols:         new(http.Protocols),
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true) // with prior knowledge: the AWS SDK for JavaScript speaks it on http://
	if c := a.listeners.cert; c != nil {
		s.TLSConfig = &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12}
	}
	server := ingress.New(s, a.Config().Weir.Timeouts.Client)
	a.servers = append(a.servers, server)
	failed := make(chan error, 2)
	go func() {
		var err error
		if s.TLSConfig != nil {
			err = server.ServeTLS(a.listeners.user)
		} else {
			err = server.Serve(a.listeners.user)
		}
		failed <- err
	}()
	if a.listeners.admin != nil {
		door := &http.Server{Handler: a.adminDoor(), ReadHeaderTimeout: 30 * time.Second, ErrorLog: s.ErrorLog}
		a.servers = append(a.servers, door)
		go func() { failed <- door.Serve(a.listeners.admin) }()
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	a.background.Go(func() { a.runFleet(serving) })
	a.background.Go(a.watch)
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	}
}

// shutdown stops accepting and waits for running calls up to the deadline, then cuts them.
func (a *App) shutdown() {
	if a.listeners != nil && len(a.servers) == 0 {
		_ = a.listeners.user.Close() // never served
		if a.listeners.admin != nil {
			_ = a.listeners.admin.Close()
		}
		return
	}
	deadline := a.o.ShutdownTimeout
	if deadline == 0 && a.Config() != nil {
		deadline = a.Config().Weir.ShutdownTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	for _, s := range a.servers {
		if err := s.Shutdown(ctx); err != nil {
			a.log.Warn("calls cut at the shutdown deadline", "deadline", deadline.String(), "error", err)
			_ = s.Close()
		}
	}
}

// certificate is a key pair that is read again when its files change, so that a renewal needs no restart. Safe for concurrent use.
type certificate struct {
	certFile, keyFile string
	now               func() time.Time

	mu      sync.Mutex
	pair    *tls.Certificate
	changed time.Time // newest modification time of the pair in use
	checked time.Time
}

// get gives the pair in force. A new pair that can't be read leaves the old one in place.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.pair != nil && now.Sub(c.checked) < time.Second {
		return c.pair, nil
	}
	c.checked = now
	changed := modified(c.certFile, c.keyFile)
	if c.pair != nil && !changed.After(c.changed) {
		return c.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		if c.pair != nil {
			return c.pair, nil
		}
		return nil, err
	}
	c.pair, c.changed = &pair, changed
	return c.pair, nil
}

func modified(files ...string) (newest time.Time) {
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest
}
