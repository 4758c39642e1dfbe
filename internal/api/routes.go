package api

import (
	"context"
	"net/http"
	"reflect"
	"slices"
)

// How to add a route: write its handler in the file of its noun,
//
//	type keyBlockIn struct {
//		Key string `json:"key" need:"true"`
//	}
//
//	func (a *API) keyBlock(ctx context.Context, c *caller, in *keyBlockIn) (any, error)
//
// and a line in that file's own table, func (a *API) keyRoutes() []route; a new table gets its line in routes below.
//
// The input struct says where each field comes from: json:"name" the body, query:"name" the URL, path:"name" the pattern. What a field may
// be stands beside it (see decode): need, default, min, max, oneof. Unknown fields are ignored; a wrong type is answered before the handler
// is called. opt[T] tells an absent field from null, money is USD. Embedded structs are taken as their fields.
//
// The result is encoded as JSON: an object (see value.go for text, dollars, moment ...), a slice, or reply{status, value}. An error is an
// *llm.Error (llm.Invalid(field, ...), notFound, ...) or one of errors.go's forms; anything else is a 500 whose text only the log sees.
//
// A change happens in a.edit, one transaction with its audit row. The access of a route is the first gate only: what belongs to whom is
// the handler's to check.

// route is one line of the table.
type route struct {
	method, path string
	access       access
	handle       handler
}

// access is which roles may call a route at all. Administrators may call every one.
type access int

const (
	admins  access = iota // proxy_admin
	readers               // and proxy_admin_viewer
	editors               // every credential but the view-only roles'
	anyone                // every valid credential
)

// routes is every route there is.
func (a *API) routes() []route {
	return slices.Concat(
		a.keyRoutes(),
		a.userRoutes(),
		a.modelRoutes(),
		a.credentialRoutes(),
		a.teamRoutes(),
		a.orgRoutes(),
		a.budgetRoutes(),
		a.customerRoutes(),
		a.tagRoutes(),
		a.callbackRoutes(),
		a.accessGroupRoutes(),
		a.spendRoutes(),
		a.activityRoutes(),
		a.auditRoutes(),
	)
}

// handler is what answers a route, and the type of its input.
type handler struct {
	call func(*API, *http.Request, *caller) (any, error)
	in   reflect.Type
}

// typed makes a handler of a function that takes the decoded request.
func typed[T any](h func(context.Context, *caller, *T) (any, error)) handler {
	return handler{in: reflect.TypeFor[T](), call: func(a *API, r *http.Request, c *caller) (any, error) {
		in := new(T)
		if err := a.decode(r, in); err != nil {
			return nil, err
		}
		return h(r.Context(), c, in)
	}}
}
