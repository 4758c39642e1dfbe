package provider

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/weir-gateway/weir/internal/config"
)

// usualRegion is where calls go when nobody says where, as in LiteLLM.
const usualRegion = "us-west-2"

// awsAuth signs requests for one AWS service, or adds the bearer token. The SDK's configuration is loaded when the first call needs it:
// never for static keys, and never at start.
type awsAuth struct {
	setup   *setup
	params  config.AWS
	service string
	bearer  string
	creds   *cached[aws.Credentials]
	signer  *v4.Signer

	mu       sync.Mutex
	loaded   *aws.Config
	provider aws.CredentialsProvider
}

// newAWS finds the credentials of an entry: what it says itself first, then the environment. keyIsBearer: an api_key is a bearer token.
func (s *setup) newAWS(service string, keyIsBearer bool) *awsAuth {
	a := &awsAuth{setup: s, params: s.p.AWS, service: service, signer: v4.NewSigner()}
	if keyIsBearer {
		a.bearer = cmp.Or(s.p.AWS.BearerToken.Reveal(), s.p.APIKey.Reveal())
		if a.bearer == "" && !a.explicit() {
			a.bearer = s.env("AWS_BEARER_TOKEN_BEDROCK")
		}
	}
	if !a.explicit() {
		a.params.AccessKeyID = config.Secret(s.env("AWS_ACCESS_KEY_ID"))
		a.params.SecretAccessKey = config.Secret(s.env("AWS_SECRET_ACCESS_KEY"))
		a.params.SessionToken = config.Secret(s.env("AWS_SESSION_TOKEN"))
	}
	a.creds = &cached[aws.Credentials]{now: s.Now, fetch: a.fetch}
	if k, ok := a.static(); ok && a.params.RoleARN == "" {
		a.creds.value, a.creds.have = k, true
	}
	return a
}

// explicit tells whether the entry itself says who calls.
func (a *awsAuth) explicit() bool {
	p := &a.setup.p.AWS
	return p.AccessKeyID != "" || p.Profile != "" || p.RoleARN != "" || p.WebIdentityToken != ""
}

func (a *awsAuth) static() (aws.Credentials, bool) {
	p := &a.params
	return aws.Credentials{AccessKeyID: p.AccessKeyID.Reveal(), SecretAccessKey: p.SecretAccessKey.Reveal(),
		SessionToken: p.SessionToken.Reveal(), Source: "static"}, p.AccessKeyID != "" && p.SecretAccessKey != ""
}

// check finds settings that can't work together.
func (a *awsAuth) check() error {
	p := &a.setup.p.AWS
	switch {
	case p.AccessKeyID != "" && p.SecretAccessKey == "":
		return missing("aws_secret_access_key")
	case p.AccessKeyID == "" && p.SecretAccessKey != "":
		return missing("aws_access_key_id")
	case p.WebIdentityToken != "" && p.RoleARN == "":
		return errors.New("aws_role_name missing: a web identity token is exchanged for a role; set litellm_params.aws_role_name")
	}
	return clean("api_key", config.Secret(a.bearer))
}

// region is where to call: as configured, as the environment says, as the SDK's configuration files say, or the usual one.
func (a *awsAuth) region(ctx context.Context) (string, error) {
	if r := a.stated(); r != "" {
		return r, nil
	}
	if _, ok := a.static(); ok || a.bearer != "" {
		return usualRegion, nil
	}
	cfg, err := a.config(ctx)
	if err != nil {
		return "", err
	}
	return cmp.Or(cfg.Region, usualRegion), nil
}

// stated is the region without looking into files, empty if only they can tell.
func (a *awsAuth) stated() string {
	if a.setup.p.AWS.Region != "" {
		return a.setup.p.AWS.Region
	}
	if a.setup.p.AWS.Profile != "" {
		return ""
	}
	return a.setup.env("AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION")
}

// config is the SDK's configuration, made once. It is loaded from files and the environment only where the credentials are to be found
// there.
func (a *awsAuth) config(ctx context.Context) (*aws.Config, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.loaded != nil {
		return a.loaded, nil
	}
	k, static := a.static()
	if static || a.params.WebIdentityToken != "" {
		a.loaded = &aws.Config{Region: cmp.Or(a.stated(), usualRegion), HTTPClient: a.setup.HTTP, Credentials: awscredentials.StaticCredentialsProvider{Value: k}}
		return a.loaded, nil
	}
	opts := []func(*awsconfig.LoadOptions) error{}
	if a.params.Profile != "" {
		opts = append(opts, awsconfig.WithSharedConfigProfile(a.params.Profile))
	}
	if r := a.stated(); r != "" {
		opts = append(opts, awsconfig.WithRegion(r))
	}
	if a.setup.env("AWS_CA_BUNDLE") == "" { // with it the SDK insists on a client of its own, to add the certificates to
		opts = append(opts, awsconfig.WithHTTPClient(a.setup.HTTP))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, err
	}
	a.loaded = &cfg
	return a.loaded, nil
}

// fetch gets credentials for the cache.
func (a *awsAuth) fetch(ctx context.Context) (aws.Credentials, time.Time, error) {
	var none aws.Credentials
	if a.setup.HTTP == nil {
		return none, time.Time{}, errors.New("no way out was given to fetch credentials")
	}
	cfg, err := a.config(ctx)
	if err != nil {
		return none, time.Time{}, err
	}
	k, err := a.source(cfg).Retrieve(ctx)
	if err != nil {
		return none, time.Time{}, err
	}
	if !k.CanExpire {
		return k, time.Time{}, nil
	}
	return k, k.Expires, nil
}

// source is who gives credentials; the SDK's own cache is passed by, since ours renews ahead.
func (a *awsAuth) source(cfg *aws.Config) aws.CredentialsProvider {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.provider != nil {
		return a.provider
	}
	a.provider = cfg.Credentials
	if a.params.RoleARN != "" {
		client := sts.NewFromConfig(*cfg, func(o *sts.Options) {
			o.Region = cmp.Or(o.Region, usualRegion)
			if a.params.STSEndpoint != "" {
				o.BaseEndpoint = aws.String(a.params.STSEndpoint)
			}
		})
		session := cmp.Or(a.params.SessionName, "weir")
		if a.params.WebIdentityToken != "" {
			a.provider = stscreds.NewWebIdentityRoleProvider(client, a.params.RoleARN, identityToken(a.params.WebIdentityToken.Reveal()),
				func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = session })
		} else {
			a.provider = stscreds.NewAssumeRoleProvider(client, a.params.RoleARN, func(o *stscreds.AssumeRoleOptions) {
				o.RoleSessionName = session
				if a.params.ExternalID != "" {
					o.ExternalID = aws.String(a.params.ExternalID)
				}
			})
		}
	}
	return a.provider
}

// identityToken is a web identity token, or the path of the file that holds it, which is read each time since it changes.
type identityToken string

// GetIdentityToken implements stscreds.IdentityTokenRetriever.
func (t identityToken) GetIdentityToken() ([]byte, error) {
	if len(t) < 4096 && !strings.ContainsAny(string(t), "\n") {
		if b, err := os.ReadFile(string(t)); err == nil {
			return []byte(strings.TrimSpace(string(b))), nil
		}
	}
	return []byte(t), nil
}

// authorize signs the request for a region, or adds the bearer token.
func (a *awsAuth) authorize(req *http.Request, c *call, region, provider string) error {
	if a.bearer != "" {
		bearer(req.Header, a.bearer)
		return nil
	}
	k, err := a.creds.get(c.ctx)
	if err != nil {
		return credentials(provider, err)
	}
	sum := sha256.New()
	for _, part := range c.body {
		sum.Write(part)
	}
	if err := a.signer.SignHTTP(c.ctx, k, req, hex.EncodeToString(sum.Sum(nil)), a.service, region, a.setup.Now()); err != nil {
		return credentials(provider, err)
	}
	return nil
}
