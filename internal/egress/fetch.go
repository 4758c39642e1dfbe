package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// ErrTooLarge says that a fetched body exceeds its limit.
var ErrTooLarge = errors.New("the body exceeds the size limit")

// StatusError says that a fetch was answered with another status than 200.
type StatusError struct{ Status int }

func (e *StatusError) Error() string { return fmt.Sprintf("answered with status %d", e.Status) }

const maxRedirects = 5

var fetchTimeouts = Timeouts{Connect: 10 * time.Second, FirstByte: 30 * time.Second, Idle: 15 * time.Second, Total: time.Minute}

// Fetch reads a document, at most maxBytes of it, following a few redirects. The client should be a Public one when the URL comes from
// a user. mimeType has no parameters; it is guessed from the data where the server says nothing better.
func (c *Client) Fetch(ctx context.Context, address string, maxBytes int64) (data []byte, mimeType string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, "", fmt.Errorf("parse URL: %w", err)
	}
	for range maxRedirects + 1 {
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, "", errors.New("only http and https URLs can be fetched")
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
		if err != nil {
			return nil, "", fmt.Errorf("make request: %w", err)
		}
		req.Header.Set("Accept", "*/*")
		req.Header.Set("User-Agent", "weir")
		resp, err := c.Do(req, fetchTimeouts)
		if err != nil {
			return nil, "", err
		}
		next := resp.Header.Get("Location")
		if next == "" || !isRedirect(resp.StatusCode) {
			return readAll(resp, maxBytes)
		}
		resp.Body.Close()
		if u, err = u.Parse(next); err != nil {
			return nil, "", fmt.Errorf("parse redirect: %w", err)
		}
	}
	return nil, "", fmt.Errorf("more than %d redirects", maxRedirects)
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func readAll(resp *http.Response, maxBytes int64) ([]byte, string, error) {
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, "", &StatusError{resp.StatusCode}
	}
	if resp.ContentLength > maxBytes {
		return nil, "", ErrTooLarge
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBytes+1))
	if err != nil {
		return nil, "", fmt.Errorf("read body: %w", err)
	}
	if int64(len(data)) > maxBytes {
		return nil, "", ErrTooLarge
	}
	t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || t == "application/octet-stream" || t == "binary/octet-stream" {
		t, _, err = mime.ParseMediaType(http.DetectContentType(data))
	}
	return data, t, err
}
