package app

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/lisa"
)

// openLISA makes LISA's management API and its metrics, which the admin door has at its root and the user door under /api.
func (a *App) openLISA() {
	a.lisa = lisa.New(lisa.Options{Fleet: a.fleet, Identify: a.proxy.Identify, Seal: a.sealer.Seal,
		Groups: func(p *auth.Principal) []string { return p.Groups }, Container: a.containers, Now: a.o.Now, Log: a.log, Version: a.o.Version})
	a.metrics = lisa.NewMetrics(lisa.MetricsOptions{Store: a.store, Identify: a.proxy.Identify, Log: a.log})
}

func (a *App) registerLISA(mux *http.ServeMux, prefix string) {
	a.lisa.Register(mux, prefix)
	a.metrics.Register(mux, prefix)
}
