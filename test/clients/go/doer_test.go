package clients

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/auth"
)

// bearerDoer sends the key in a bearer header.
type bearerDoer struct{}

// Do sends the request.
func (bearerDoer) Do(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+key)
	return http.DefaultClient.Do(r)
}

// unsigned has the SDK sign nothing.
type unsigned struct{}

// ResolveAuthSchemes chooses no authentication for every operation.
func (unsigned) ResolveAuthSchemes(context.Context, *bedrockruntime.AuthResolverParameters) ([]*auth.Option, error) {
	return []*auth.Option{{SchemeID: auth.SchemeIDAnonymous}}, nil
}
