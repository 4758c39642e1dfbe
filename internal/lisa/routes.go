package lisa

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// access is who may call a route.
type access int

const (
	open   access = iota // everyone, without a credential
	anyone               // every valid credential
	admins               // administrators
)

// route is what answers a method of a path. does completes "User does not have permission to ...".
type route struct {
	access access
	does   string
	handle func(*API, *call) (any, error)
}

// routes are all routes, by path and method; openapi.json describes the same ones.
var routes = map[string]map[string]route{
	"/models": {
		http.MethodGet:  {admins, "list models", (*API).list},
		http.MethodPost: {admins, "create models", (*API).create},
	},
	"/models/{modelId}": {
		http.MethodGet:    {anyone, "", (*API).get},
		http.MethodPut:    {admins, "update models", (*API).update},
		http.MethodDelete: {admins, "delete models", (*API).remove},
	},
	"/models/{modelId}/context-window": {http.MethodPut: {admins, "update models", (*API).contextWindow}},
	"/models/{modelId}/schedule": {
		http.MethodGet:    {anyone, "", (*API).schedule},
		http.MethodPost:   {admins, "update models", (*API).setSchedule},
		http.MethodPut:    {admins, "update models", (*API).setSchedule},
		http.MethodDelete: {admins, "update models", (*API).dropSchedule},
	},
	"/models/{modelId}/schedule/status": {http.MethodGet: {anyone, "", (*API).scheduleStatus}},
	"/models/{modelId}/events":          {http.MethodGet: {admins, "read the events of models", (*API).events}},
	"/models/{modelId}/logs":            {http.MethodGet: {admins, "read the logs of models", (*API).logs}},
	"/models/metadata/instances":        {http.MethodGet: {anyone, "", (*API).instanceTypes}},
	"/openapi.json":                     {http.MethodGet: {open, "", (*API).openapi}},
	"/docs":                             {http.MethodGet: {open, "", (*API).docs}},
}

// below are the paths below a model, the longest first.
var below = []string{"/schedule/status", "/schedule", "/context-window", "/events", "/logs"}

// split finds the route of a path as it was sent, and the model that it names. An id may hold slashes: what ends like a route below a model
// is that route, unless the slash before it is escaped. A slash at the end of the path says nothing.
func split(escaped string) (path, id string, ok bool) {
	escaped = strings.TrimSuffix(escaped, "/")
	rest, named := strings.CutPrefix(escaped, "/models/")
	if !named || rest == "metadata/instances" {
		_, ok := routes[escaped]
		return escaped, "", ok
	}
	path = "/models/{modelId}"
	for _, end := range below {
		if head, found := strings.CutSuffix(rest, end); found && head != "" {
			path, rest = path+end, head
			break
		}
	}
	id, err := url.PathUnescape(rest)
	return path, id, err == nil && id != ""
}

// methodOf is the method that answers: what HEAD asks is what GET would say.
func methodOf(r *http.Request) string {
	if r.Method == http.MethodHead {
		return http.MethodGet
	}
	return r.Method
}

func allowed(methods map[string]route) string {
	return strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
}
