package provider

import (
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/weir-gateway/weir/internal/config"
)

// databricksRow is Databricks' serving API, OpenAI-compatible under a workspace's own address.
var databricksRow = Row{Name: "databricks", Keys: []string{"DATABRICKS_API_KEY", "DATABRICKS_TOKEN"}, Bases: []string{"DATABRICKS_API_BASE", "DATABRICKS_HOST"},
	NoKey: true, Completions: true, Quirks: oldMaxTokens}

// databricksDriver adds tokens of a service principal (OAuth machine to machine) to what a row can do.
type databricksDriver struct {
	*compat
	token *cached[string]
}

func newDatabricks(s *setup) (driver, string, error) {
	if s.p.APIBase == "" {
		s.p.APIBase = s.env(databricksRow.Bases...)
		if s.p.APIBase == "" {
			return nil, "", missing("api_base", databricksRow.Bases...)
		}
	}
	if !strings.Contains(s.p.APIBase, "://") { // DATABRICKS_HOST may be bare
		s.p.APIBase = "https://" + s.p.APIBase
	}
	base, err := parseBase("api_base", s.p.APIBase)
	if err != nil {
		return nil, "", err
	}
	host := *base
	if base.Path == "" {
		if base, err = withPath(base, "/serving-endpoints"); err != nil {
			return nil, "", err
		}
	}
	s.p.APIBase = base.String()
	row, show, err := newCompatible(s, &databricksRow)
	if err != nil {
		return nil, "", err
	}
	d := &databricksDriver{compat: row.(*compat)}
	if d.key != "" {
		return d, show, nil
	}
	id, secret := s.env("DATABRICKS_CLIENT_ID"), config.Secret(s.env("DATABRICKS_CLIENT_SECRET"))
	if id == "" || secret == "" {
		return nil, "", missing("api_key", "DATABRICKS_API_KEY", "DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET")
	}
	issuer := (&url.URL{Scheme: host.Scheme, Host: host.Host, Path: "/oidc/v1/token"}).String()
	c := clientcredentials.Config{ClientID: id, ClientSecret: secret.Reveal(), TokenURL: issuer, Scopes: []string{"all-apis"}, AuthStyle: oauth2.AuthStyleInHeader}
	d.token = s.tokens(c.Token)
	return d, show, nil
}

func (d *databricksDriver) authorize(u *Upstream, req *http.Request, c *call) error {
	if d.token == nil {
		return d.compat.authorize(u, req, c)
	}
	t, err := d.token.get(c.ctx)
	if err != nil {
		return credentials(u.Provider, err)
	}
	bearer(req.Header, t)
	return nil
}
