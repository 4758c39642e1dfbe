// Package lisa is LISA's model management API: /models, schedules, context windows and instance types, with LISA's fields, answers and
// errors, before the fleet. routes.go has the routes; create.go, update.go and schedule.go read what clients send.
//
// The rules of a single request are here, those that look at the stored model are fleet's. It never shows the key of a model. metrics.go has
// the routes of users' metrics, which the store has booked. It is not on the hot path. Only app imports it; it knows fleet, store, auth,
// account and llm.
package lisa

import (
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/llm"
)

// Options is what the API needs. Fleet, Identify and Seal are required.
type Options struct {
	Fleet *fleet.Fleet
	// Identify finds who calls.
	Identify func(*http.Request) (*auth.Principal, *llm.Error)
	// Seal makes the key of a model fit to be stored.
	Seal func(string) string
	// Groups are the groups of a caller, for models that are for some only; nil: nobody is in any.
	Groups func(*auth.Principal) []string
	// Container tells whether the hosts can run an inferenceContainer; nil: the built-in ones.
	Container func(name string) bool
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: slog.Default
	Version   string           // of the gateway, for the OpenAPI document
}

// API answers the routes. Safe for concurrent use.
type API struct {
	Options
	instances instances
}

// New makes an API.
func New(o Options) *API {
	if o.Groups == nil {
		o.Groups = func(*auth.Principal) []string { return nil }
	}
	if o.Container == nil {
		o.Container = builtIn
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &API{Options: o, instances: readInstances()}
}

// Register adds the routes to mux under a prefix such as /api, or at its root if that is empty. An API may be registered several times.
func (a *API) Register(mux *http.ServeMux, prefix string) {
	serve := func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, prefix) }
	for _, path := range []string{"/models", "/models/", "/openapi.json", "/docs"} {
		// By method, so that no pattern of the rest of the gateway is more specific in one way and less in another.
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			mux.HandleFunc(method+" "+prefix+path, serve)
		}
	}
}

// call is one request.
type call struct {
	r  *http.Request
	p  *auth.Principal // nil on routes that anyone may call
	id string          // of the model, where the path names one
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, prefix string) {
	harden(w.Header())
	path, id, ok := split(r.URL.EscapedPath()[len(prefix):])
	if !ok {
		a.fail(w, r, notFoundPath)
		return
	}
	methods := routes[path]
	rt, ok := methods[methodOf(r)]
	if !ok {
		w.Header().Set("Allow", allowed(methods))
		a.fail(w, r, &problem{status: http.StatusMethodNotAllowed, name: "MethodNotAllowedError", message: "The method " + r.Method + " is not allowed here."})
		return
	}
	c := &call{r: r, id: id}
	if rt.access != open {
		p, refused := a.Identify(r)
		if refused != nil {
			a.fail(w, r, refused)
			return
		}
		if rt.access == admins && !p.Admin {
			a.fail(w, r, &problem{status: http.StatusForbidden, name: "AuthorizationError", message: "User does not have permission to " + rt.does + "."})
			return
		}
		c.p = p
	}
	if id != "" && (badID(id) != "" || !utf8.ValidString(id)) {
		a.fail(w, r, unknownModel(strings.ToValidUTF8(id, "?"))) // nothing can be called so
		return
	}
	out, err := rt.handle(a, c)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.reply(w, r, http.StatusOK, out)
}

// harden sets the headers that every answer of an admin route carries (contract lisa.md A.5).
func harden(h http.Header) {
	h.Set("Strict-Transport-Security", "max-age=47304000; includeSubDomains")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "no-store, no-cache")
	h.Set("Pragma", "no-cache")
}
