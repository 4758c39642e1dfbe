package clients

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/auth"
)

// bearerDoer sends the key in a bearer header.
type bearerDoer struct{}

// Do sends the request.
func (bearerDoer) Do(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+key)
	return wholeBody{}.Do(r)
}

// wholeBody gives the transport a body of its own. The SDK closes its body as soon as the answer begins; net/http may not have seen the
// body's end by then, takes that for a failed request and closes the connection under the answer. Only a server that answers at once, as
// the mock does, loses that race.
type wholeBody struct{}

// Do sends the request.
func (wholeBody) Do(r *http.Request) (*http.Response, error) {
	c := r.Clone(r.Context())
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		c.Body = io.NopCloser(bytes.NewReader(body))
	}
	return http.DefaultClient.Do(c)
}

// unsigned has the SDK sign nothing.
type unsigned struct{}

// ResolveAuthSchemes chooses no authentication for every operation.
func (unsigned) ResolveAuthSchemes(context.Context, *bedrockruntime.AuthResolverParameters) ([]*auth.Option, error) {
	return []*auth.Option{{SchemeID: auth.SchemeIDAnonymous}}, nil
}
