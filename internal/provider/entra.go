package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/weir-gateway/weir/internal/config"
)

const azureScope = "https://cognitiveservices.azure.com/.default"

// azureCredentials finds how an Azure deployment is paid for: what the entry says first, then what the environment says. Of key and token
// source one is set.
func (s *setup) azureCredentials() (config.Secret, *cached[string], error) {
	a := s.p.Azure
	switch {
	case s.p.APIKey != "":
		return s.p.APIKey, nil, nil
	case a.ADToken != "":
		return "", s.fixed(a.ADToken), nil
	case a.TenantID != "" && a.ClientID != "" && a.ClientSecret != "":
		return "", s.clientSecret(a), nil
	}
	if k := s.env("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"); k != "" {
		return config.Secret(k), nil, nil
	}
	if t := s.env("AZURE_AD_TOKEN", "AZURE_OPENAI_AD_TOKEN"); t != "" {
		return "", s.fixed(config.Secret(t)), nil
	}
	byHand := a.ClientID != ""
	a.TenantID = cmp.Or(a.TenantID, s.env("AZURE_TENANT_ID"))
	a.ClientID = cmp.Or(a.ClientID, s.env("AZURE_CLIENT_ID"))
	a.ClientSecret = config.Secret(cmp.Or(a.ClientSecret.Reveal(), s.env("AZURE_CLIENT_SECRET")))
	file := s.env("AZURE_FEDERATED_TOKEN_FILE")
	switch {
	case a.TenantID != "" && a.ClientID != "" && a.ClientSecret != "":
		return "", s.clientSecret(a), nil
	case a.TenantID != "" && a.ClientID != "" && file != "":
		return "", s.workloadIdentity(a, file), nil
	case byHand, s.env("IDENTITY_ENDPOINT") != "", strings.HasPrefix(s.env("AZURE_CREDENTIAL"), "ManagedIdentity"):
		return "", s.managedIdentity(a), nil
	}
	return "", nil, errors.New("api_key missing: set litellm_params.api_key or AZURE_API_KEY; or azure_ad_token; or tenant_id, client_id and " +
		"client_secret for Entra ID; or client_id alone for a managed identity")
}

// fixed is a token that was given; nobody knows when it ends.
func (s *setup) fixed(t config.Secret) *cached[string] {
	return &cached[string]{now: s.Now, value: t.Reveal(), have: true}
}

func (s *setup) authority(tenant string) string {
	host := cmp.Or(s.env("AZURE_AUTHORITY_HOST"), "https://login.microsoftonline.com")
	return strings.TrimRight(host, "/") + "/" + url.PathEscape(tenant) + "/oauth2/v2.0/token"
}

func scopeOf(a config.Azure) string { return cmp.Or(a.Scope, azureScope) }

func (s *setup) clientSecret(a config.Azure) *cached[string] {
	c := clientcredentials.Config{ClientID: a.ClientID, ClientSecret: a.ClientSecret.Reveal(), TokenURL: s.authority(a.TenantID),
		Scopes: []string{scopeOf(a)}, AuthStyle: oauth2.AuthStyleInParams}
	return s.tokens(c.Token)
}

// workloadIdentity exchanges the token that the platform keeps in a file, read anew each time since it changes.
func (s *setup) workloadIdentity(a config.Azure, file string) *cached[string] {
	return s.tokens(func(ctx context.Context) (*oauth2.Token, error) {
		assertion, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read AZURE_FEDERATED_TOKEN_FILE: %w", err)
		}
		c := clientcredentials.Config{ClientID: a.ClientID, TokenURL: s.authority(a.TenantID), Scopes: []string{scopeOf(a)},
			AuthStyle: oauth2.AuthStyleInParams, EndpointParams: url.Values{
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
				"client_assertion":      {strings.TrimSpace(string(assertion))},
			}}
		return c.Token(ctx)
	})
}

// managedIdentity asks the machine: the App Service endpoint if the environment has it, else the instance metadata service.
func (s *setup) managedIdentity(a config.Azure) *cached[string] {
	q := url.Values{"resource": {strings.TrimSuffix(scopeOf(a), "/.default")}, "api-version": {"2018-02-01"}}
	address := "http://169.254.169.254/metadata/identity/oauth2/token"
	header := http.Header{"Metadata": {"true"}}
	if e := s.env("IDENTITY_ENDPOINT"); e != "" {
		address = e
		q.Set("api-version", "2019-08-01")
		header = http.Header{"X-Identity-Header": {s.env("IDENTITY_HEADER")}}
	}
	if a.ClientID != "" {
		q.Set("client_id", a.ClientID)
	}
	return s.tokens(func(ctx context.Context) (*oauth2.Token, error) {
		return s.machineToken(ctx, address+"?"+q.Encode(), header)
	})
}

// machineToken gets a token from a metadata service, Azure's or Google's.
func (s *setup) machineToken(ctx context.Context, address string, header http.Header) (*oauth2.Token, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("the metadata service has no usable address")
	}
	req.Header = header
	resp, err := s.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the metadata service for a token: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read the metadata service's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the metadata service answered %d", resp.StatusCode)
	}
	var t struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   seconds `json:"expires_in"`
		ExpiresOn   seconds `json:"expires_on"`
	}
	if json.Unmarshal(body, &t) != nil || t.AccessToken == "" {
		return nil, errors.New("the metadata service's answer holds no token")
	}
	out := &oauth2.Token{AccessToken: t.AccessToken}
	switch {
	case t.ExpiresIn > 0:
		out.Expiry = s.Now().Add(time.Duration(t.ExpiresIn) * time.Second)
	case t.ExpiresOn > 0:
		out.Expiry = time.Unix(int64(t.ExpiresOn), 0)
	}
	return out, nil
}

// seconds is a number that some services write as a string.
type seconds int64

// UnmarshalJSON reads both forms.
func (s *seconds) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	*s = seconds(n)
	return err
}
