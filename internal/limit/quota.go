package limit

import "net/http"

// Quota is one limit of a reservation and what it left, for x-ratelimit headers.
type Quota struct {
	Scope     string // api_key, user, team, team_member, end_user, model_per_key ...
	What      What   // Requests, Tokens or Parallel
	Limit     int64
	Remaining int64
	// LimitHeader and RemainingHeader are the headers' names, in Go's canonical form.
	LimitHeader, RemainingHeader string
}

// Quotas calls f with every limit of requests, tokens and parallel calls that the reservation holds, and what was left of it right after it
// was taken. It works until the next Reserve and allocates nothing: f must not keep its
// argument.
func (r *Reservation) Quotas(f func(*Quota)) {
	for i := range r.holds {
		h := &r.holds[i]
		names := h.e.names
		for d := range dMoney {
			if h.e.limits[d] == None {
				continue
			}
			r.quota = Quota{Scope: names.scope, What: whats[d], Limit: h.e.limits[d], Remaining: max(0, h.left[d]),
				LimitHeader: names.limit[d], RemainingHeader: names.remaining[d]}
			f(&r.quota)
		}
	}
}

// headers are the names of a scope's headers, in the order requests, tokens, parallel.
type headers struct {
	scope            string
	limit, remaining [3]string
}

// headers gives the names for a scope, made once.
func (l *Limiter) headers(scope string) *headers {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.names[scope]; h != nil {
		return h
	}
	h := &headers{scope: scope}
	for i, what := range whats[:dMoney] {
		h.limit[i] = http.CanonicalHeaderKey("x-ratelimit-" + scope + "-limit-" + string(what))
		h.remaining[i] = http.CanonicalHeaderKey("x-ratelimit-" + scope + "-remaining-" + string(what))
	}
	l.names[scope] = h
	return h
}
