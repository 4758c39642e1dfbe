package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

const googleScope = "https://www.googleapis.com/auth/cloud-platform"

// googleCredentials finds who calls Google Cloud: the entry's JSON or file, the file GOOGLE_APPLICATION_CREDENTIALS names, the one gcloud
// left, or the machine. It gives the project that the credentials belong to, if they say.
func (s *setup) googleCredentials() (*cached[string], string, error) {
	text := strings.TrimSpace(s.p.Vertex.Credentials.Reveal())
	setting := "vertex_credentials"
	if text == "" {
		setting, text = "VERTEXAI_CREDENTIALS", s.env("VERTEXAI_CREDENTIALS", "VERTEX_CREDENTIALS")
	}
	if text == "" {
		setting, text = "GOOGLE_APPLICATION_CREDENTIALS", s.env("GOOGLE_APPLICATION_CREDENTIALS")
	}
	if text == "" {
		setting, text = "gcloud's application default credentials", s.gcloudFile()
	}
	if text == "" {
		return s.machine(), "", nil
	}
	raw := []byte(text)
	if !strings.HasPrefix(text, "{") {
		var err error
		if raw, err = os.ReadFile(text); err != nil {
			return nil, "", fmt.Errorf("%s: it is neither JSON nor a file that can be read", setting)
		}
	}
	account, ok := readAccount(raw)
	if !ok {
		return nil, "", fmt.Errorf("%s: not the JSON of a service account or of application default credentials", setting)
	}
	kind := google.CredentialsType(account.Type)
	switch kind {
	case google.ServiceAccount, google.AuthorizedUser, google.ExternalAccount, google.ExternalAccountAuthorizedUser, google.ImpersonatedServiceAccount:
	default:
		return nil, "", fmt.Errorf("%s: credentials of type %q are not supported", setting, account.Type)
	}
	if kind == google.ServiceAccount { // found now, not by the first call
		if _, err := google.CredentialsFromJSONWithType(s.oauthContext(context.Background()), raw, kind, googleScope); err != nil {
			return nil, "", fmt.Errorf("%s: the service account can't be used: is it complete?", setting)
		}
	}
	token := s.tokens(func(ctx context.Context) (*oauth2.Token, error) {
		c, err := google.CredentialsFromJSONWithType(ctx, raw, kind, googleScope)
		if err != nil {
			return nil, errors.New(setting + " can't be used")
		}
		return c.TokenSource.Token()
	})
	return token, cmp.Or(account.ProjectID, account.QuotaProject), nil
}

// gcloudFile is where gcloud leaves application default credentials, empty if it did not.
func (s *setup) gcloudFile() string {
	dir := s.env("CLOUDSDK_CONFIG")
	if dir == "" {
		home := s.env("HOME")
		if home == "" {
			return ""
		}
		dir = filepath.Join(home, ".config", "gcloud")
	}
	file := filepath.Join(dir, "application_default_credentials.json")
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// machine asks Google's metadata service, which is there on their machines and clusters.
func (s *setup) machine() *cached[string] {
	host := cmp.Or(s.env("GCE_METADATA_HOST"), "metadata.google.internal")
	return s.tokens(func(ctx context.Context) (*oauth2.Token, error) {
		return s.machineToken(ctx, "http://"+host+"/computeMetadata/v1/instance/service-accounts/default/token",
			http.Header{"Metadata-Flavor": {"Google"}})
	})
}
