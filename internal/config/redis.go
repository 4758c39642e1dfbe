package config

import (
	"cmp"
	"net"
	"net/url"
	"strconv"
)

// Redis is the address of the Redis or Valkey that replicas share, as a URL; empty: there is none.
func (c *Config) Redis() Secret {
	r := &c.Router
	if address := cmp.Or(r.RedisURL.Reveal(), c.Env("REDIS_URL")); address != "" {
		return Secret(address)
	}
	host := cmp.Or(r.RedisHost, c.Env("REDIS_HOST"))
	if host == "" {
		return ""
	}
	u := url.URL{Scheme: "redis", Host: net.JoinHostPort(host, cmp.Or(r.RedisPort, c.Env("REDIS_PORT"), "6379")),
		Path: cmp.Or(r.RedisDB, c.Env("REDIS_DB"))}
	if tls, err := strconv.ParseBool(cmp.Or(r.RedisSSL, c.Env("REDIS_SSL"))); err == nil && tls {
		u.Scheme = "rediss"
	}
	user, password := cmp.Or(r.RedisUsername, c.Env("REDIS_USERNAME")), cmp.Or(r.RedisPassword.Reveal(), c.Env("REDIS_PASSWORD"))
	if user != "" || password != "" {
		u.User = url.UserPassword(user, password)
	}
	return Secret(u.String())
}
