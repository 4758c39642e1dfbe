package provider

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// parseBase reads an address that a person configured: scheme and host are wanted, slashes at the end and a fragment are not. The query
// stays. An error names the setting, never the address, which may hold a password.
func parseBase(setting, s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is not a URL: write it as https://host/path", setting)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s has no http:// or https:// in front: write it as https://host/path", setting)
	case u.Host == "":
		return nil, fmt.Errorf("%s names no host: write it as https://host/path", setting)
	}
	u.Fragment, u.RawFragment = "", ""
	return withPath(u, strings.TrimRight(u.EscapedPath(), "/"))
}

// withPath is a copy of u with another path, given escaped.
func withPath(u *url.URL, escaped string) (*url.URL, error) {
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, errors.New("the address has a wrong escape in its path")
	}
	c := *u
	c.Path, c.RawPath = path, escaped
	return &c, nil
}

// join is a copy of u with more path, given escaped and beginning with a slash.
func join(u *url.URL, escaped string) (*url.URL, error) {
	return withPath(u, strings.TrimRight(u.EscapedPath(), "/")+escaped)
}

// withQuery is a copy of u with one more parameter, unless the address sets it already.
func withQuery(u *url.URL, name, value string) *url.URL {
	q := u.Query()
	if q.Get(name) != "" {
		return u
	}
	q.Set(name, value)
	c := *u
	c.RawQuery = q.Encode()
	return &c
}

// cutPath takes the first of the endings off u's path, for people who configure a whole endpoint.
func cutPath(u *url.URL, endings ...string) *url.URL {
	path := u.EscapedPath()
	for _, e := range endings {
		if rest, ok := strings.CutSuffix(path, e); ok {
			if c, err := withPath(u, strings.TrimRight(rest, "/")); err == nil {
				return c
			}
		}
	}
	return u
}

// shown is an address for people: no query, no credentials.
func shown(u *url.URL) string {
	c := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return c.String()
}

var versionEnd = regexp.MustCompile(`/v\d+[a-z0-9]*$`)

// cutVersion takes a version segment (/v1, /v1beta) off the end of u's path and gives it, with its slash, beside the rest.
func cutVersion(u *url.URL) (*url.URL, string) {
	v := versionEnd.FindString(u.EscapedPath())
	if v == "" {
		return u, ""
	}
	return cutPath(u, v), v
}

// completed gives a configured address the version path of the provider's own where it has none: an SDK of the provider would add it.
// Only the provider's own host is completed from a part of that path (https://api.groq.com/openai).
func completed(u, own *url.URL) *url.URL {
	path, want := u.EscapedPath(), own.EscapedPath()
	if path == "" || (u.Host == own.Host && strings.HasPrefix(want, path+"/")) {
		if c, err := withPath(u, want); err == nil {
			return c
		}
	}
	return u
}
