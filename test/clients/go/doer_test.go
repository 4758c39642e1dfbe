package clients

import "net/http"

// bearerDoer sends the key as the seed's clients do: a bearer header on an unsigned request.
type bearerDoer struct{}

// Do sends the request.
func (bearerDoer) Do(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+key)
	return http.DefaultClient.Do(r)
}
