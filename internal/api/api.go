// Package api is the management API: keys, users, teams, organizations, budgets, customers, tags, models, credentials and what was spent,
// by the routes, fields and answers of LiteLLM. A file per noun; routes.go says how to add a route.
//
// Reads go to the database, so that an answer shows what was just written, on whichever replica. It is not on the hot path, and it never
// shows or logs a key, a password or a provider's secret: a new key appears once, in the answer that made it. Only app imports it.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/store"
	"github.com/weir-gateway/weir/internal/usage"
)

// Options is what the API needs. Store, Identify and Config are required.
type Options struct {
	Store *store.Store
	// Identify finds who calls: key, master key or JWT. It also refuses blocked and expired ones, and routes that a key may not call.
	Identify func(*http.Request) (*auth.Principal, *llm.Error)
	Config   func() *config.Config
	// Changed is called after every committed change and returns when this replica authorizes by it; nil: nothing is told.
	Changed func(context.Context)
	// Seal makes a secret of a provider fit to be stored, Unseal undoes it (store.Sealer); the routes of models and credentials need both.
	Seal, Unseal func(string) (string, error)
	SaltKey      []byte           // what AWS credentials of keys are derived from; empty: none are issued
	Prices       *usage.Prices    // nil: the built-in ones
	Zone         *time.Location   // whose days and months budget periods follow; nil: UTC
	Now          func() time.Time // nil: time.Now
	Log          *slog.Logger     // nil: slog.Default
	MaxBody      int64            // largest request body in bytes; 0: 8 MiB
}

// API answers the management routes. Safe for concurrent use.
type API struct {
	Options
}

// New makes an API.
func New(o Options) *API {
	if o.Changed == nil {
		o.Changed = func(context.Context) {}
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Prices == nil {
		o.Prices = usage.NewPrices()
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.MaxBody == 0 {
		o.MaxBody = 8 << 20
	}
	return &API{o}
}

// Register adds every route to mux.
func (a *API) Register(mux *http.ServeMux) {
	for _, rt := range a.routes() {
		mux.HandleFunc(rt.method+" "+rt.path, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, rt) })
	}
}

// Routes lists the routes as "METHOD /path", with {name} for path parameters.
func (a *API) Routes() []string {
	var out []string
	for _, rt := range a.routes() {
		out = append(out, rt.method+" "+rt.path)
	}
	return out
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, rt route) {
	p, refused := a.Identify(r)
	if refused != nil {
		a.fail(w, r, refused)
		return
	}
	c := callerOf(p, r)
	if err := c.enter(rt); err != nil {
		a.fail(w, r, err)
		return
	}
	out, err := rt.handle.call(a, r, c)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.reply(w, r, out)
}

// caller is who makes a management call.
type caller struct {
	p    *auth.Principal
	user string // user id; empty: a key of no user
	role string // of account.ProxyAdmin and its siblings; empty: none
	key  string // hash of the key the call is made with; empty for the master key and a JWT
	// by is who a change is booked on: the litellm-changed-by header of an administrator, else the user.
	by string
}

// masterKey is how LiteLLM names the master key where others' hashes stand.
const masterKey = "litellm_proxy_master_key"

func callerOf(p *auth.Principal, r *http.Request) *caller {
	c := &caller{p: p, user: p.UserID, role: p.Role, key: p.KeyHash, by: p.UserID}
	if p.Admin {
		c.role = account.ProxyAdmin
	}
	if by := r.Header.Get("litellm-changed-by"); by != "" && c.admin() {
		c.by = by
	}
	return c
}

// admin: may do everything.
func (c *caller) admin() bool { return c.role == account.ProxyAdmin }

// reader: may see everything.
func (c *caller) reader() bool { return c.admin() || c.role == account.ProxyAdminViewer }

// viewOnly: may change nothing.
func (c *caller) viewOnly() bool {
	return c.role == account.ProxyAdminViewer || c.role == account.InternalUserViewer
}

// master: calls with the master key.
func (c *caller) master() bool { return c.key == "" && c.p.Admin && c.p.UserID == auth.MasterUser }

// signedIn: calls as a user, without a key: with a JWT.
func (c *caller) signedIn() bool { return c.key == "" && !c.master() }

// keyID is the key's hash, or LiteLLM's name for the master key; empty for a user who calls without a key.
func (c *caller) keyID() string {
	if c.master() {
		return masterKey
	}
	return c.key
}

// enter refuses callers whose role shuts them out of a route altogether.
func (c *caller) enter(rt route) error {
	switch {
	case c.admin(), rt.access == anyone, rt.access == readers && c.reader(), rt.access == editors && !c.viewOnly():
		return nil
	}
	return c.forbidden(rt.path)
}

// forbidden is what a role that may not call a route is told.
func (c *caller) forbidden(path string) *llm.Error {
	role, user := c.role, "******"
	if role == "" {
		role = "unknown"
	}
	if c.user == "" {
		user = "None"
	}
	return &llm.Error{Kind: llm.ErrAuth, Type: "auth_error", Message: "Authentication Error, Only proxy admin can be used to generate, delete, " +
		"update info for new keys/users/teams. Route=" + path + ". Your role=" + role + ". Your user_id=" + user}
}
