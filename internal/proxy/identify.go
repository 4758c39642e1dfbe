package proxy

import (
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/llm"
)

// SignIn is how others than holders of keys prove who they are. The zero value takes keys alone.
type SignIn struct {
	Tokens  *auth.Verifier // nil: no tokens
	SaltKey []byte         // what the secrets of issued AWS credentials are derived from
	Signed  *auth.SigV4
	// KeyHeader is looked at for a key before all others (general_settings.litellm_key_header_name), in canonical form; empty: none.
	KeyHeader string
	// Arrived is told of whoever calls with a token and has no row; nil: nobody wants to know. It must not block.
	Arrived func(*auth.Principal)
}

// identify finds out who makes a request, by key or token. signup is for the one route that makes a user of whoever holds a token.
func (s *Snapshot) identify(r *http.Request, queryKey string, now time.Time, signup bool, failures *auth.Failures) (*auth.Principal, *llm.Error) {
	var credential string
	if name := s.SignIn.KeyHeader; name != "" && len(r.Header[name]) > 0 {
		credential = trimBearer(r.Header[name][0])
	}
	if credential == "" {
		var err *llm.Error
		if credential, err = auth.Credential(r.Header, queryKey); err != nil {
			return nil, err
		}
	}
	if err := failures.Before(r.RemoteAddr, credential); err != nil {
		return nil, err
	}
	if s.SignIn.Tokens != nil && auth.IsToken(credential) {
		claims, err := s.SignIn.Tokens.Verify(r.Context(), credential)
		if err != nil {
			return nil, failures.After(r.RemoteAddr, err)
		}
		who, err := s.SignIn.Tokens.Principal(s.Auth, claims, signup)
		if err == nil && who.User == nil && !signup && s.SignIn.Arrived != nil {
			s.SignIn.Arrived(who)
		}
		return who, err
	}
	who, err := s.Auth.Authenticate(credential, now)
	if err != nil && !s.Auth.Knows(credential) {
		err = failures.After(r.RemoteAddr, err)
	}
	return who, err
}

// trimBearer takes the scheme off a header that may have one.
func trimBearer(v string) string {
	const scheme = "bearer "
	if len(v) > len(scheme) && (v[0] == 'B' || v[0] == 'b') && (v[:len(scheme)] == "Bearer " || v[:len(scheme)] == scheme) {
		return v[len(scheme):]
	}
	return v
}

// Identify finds out who makes a request that is not an inference call, and refuses those whose key or role keeps them from its route.
func (p *Proxy) Identify(r *http.Request) (*auth.Principal, *llm.Error) {
	signup := r.Method == http.MethodPost && r.URL.Path == "/user/new"
	s := p.snap.Load()
	who, err := s.identify(r, "", p.now(), signup, p.failures)
	if err == nil {
		err = s.Auth.Manage(who, r)
	}
	if err != nil {
		return nil, err
	}
	return who, nil
}

// authenticate finds out who calls: by key, token or, on Bedrock's routes, AWS signature. What a signature says of the body is proven by
// verify, when the body has been read.
func (c *call) authenticate() *llm.Error {
	if c.dialect == llm.Converse {
		signed, ok, err := auth.ParseSigV4(c.r)
		if err != nil {
			return err
		}
		if ok {
			return c.authenticateSigned(signed)
		}
	}
	queryKey := ""
	if c.queryKey {
		queryKey = c.r.URL.Query().Get("key")
	}
	p, err := c.snap.identify(c.r, queryKey, c.started, false, c.p.failures)
	if err != nil {
		return err
	}
	if err = p.MayRoute(c.r.URL); err != nil {
		return err
	}
	c.principal = p
	c.book()
	return nil
}

// book says in the record who is charged.
func (c *call) book() {
	p := c.principal
	c.rec.Key, c.rec.KeyAlias = p.KeyHash, p.KeyAlias
	c.rec.User, c.rec.Team, c.rec.Org = p.UserID, p.TeamID, p.OrgID
	c.rec.Tags = p.Tags[:len(p.Tags):len(p.Tags)]
	c.rec.Groups = p.Groups
}

// authenticateSigned finds whose credentials a request claims to be signed with. The body is hashed as it is read.
func (c *call) authenticateSigned(signed *auth.Signed) *llm.Error {
	if err := signed.Check(c.started, c.snap.SignIn.Signed); err != nil {
		return err
	}
	p, err := c.snap.Auth.BySigner(signed.AccessKeyID, c.started)
	if err == nil {
		err = p.MayRoute(c.r.URL)
	}
	if err != nil {
		if err.Type == auth.UnknownAccessKey().Type {
			err = c.p.failures.After(c.r.RemoteAddr, err)
		}
		return err
	}
	c.claimed, c.signed, c.sum = p, signed, auth.SumBody(c.r.Body)
	c.r.Body = c.sum
	return nil
}

// verify proves a signature, now that the body has been read. Until then nobody is charged and nothing is served.
func (c *call) verify() *llm.Error {
	if c.signed == nil {
		return nil
	}
	secret, err := auth.AWSSecret(c.snap.SignIn.SaltKey, c.signed.AccessKeyID)
	if err != nil {
		return &llm.Error{Kind: llm.ErrInternal, Message: "signatures can't be verified here", Cause: err}
	}
	if err := c.signed.Verify(c.r, secret, c.sum.Sum(), c.started, c.snap.SignIn.Signed); err != nil {
		return c.p.failures.After(c.r.RemoteAddr, err)
	}
	c.principal = c.claimed
	c.book()
	return nil
}
