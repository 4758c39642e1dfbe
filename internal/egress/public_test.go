package egress

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestIsPublic(t *testing.T) {
	f := func(public bool, addresses ...string) {
		t.Helper()
		for _, a := range addresses {
			if got := isPublic(netip.MustParseAddr(a)); got != public {
				t.Errorf("%s: %v", a, got)
			}
		}
	}
	f(true, "8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::200e")
	f(false, "127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1")
	f(false, "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1")
	f(false, "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "203.0.113.9")
	f(false, "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "2002:7f00:1::1", "2001::1")
	f(false, "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808")
}

func TestPublic_refusesAtDial(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	c := New(Options{Public: true})
	defer c.Close()
	port := srv.URL[strings.LastIndexByte(srv.URL, ':'):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"} {
		_, _, err := c.Fetch(t.Context(), "http://"+host+port+"/x", 100)
		var ae *AddressError
		if !errors.As(err, &ae) {
			t.Errorf("%s: %v", host, err)
		}
		if _, _, err := c.Fetch(t.Context(), "https://"+host+port+"/x", 100); !errors.As(err, &ae) {
			t.Errorf("%s over TLS: %v", host, err)
		}
	}
}

func TestFetch(t *testing.T) {
	png := "\x89PNG\x0d\x0a\x1a\x0a" + strings.Repeat("x", 100)
	mux := http.NewServeMux()
	mux.HandleFunc("/png", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write([]byte(png))
	})
	mux.HandleFunc("/typed", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "Image/WebP; q=1")
		w.(http.Flusher).Flush()
		w.Write([]byte(png))
	})
	mux.HandleFunc("/once", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "png", http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	c := New(Options{})
	defer c.Close()
	f := func(url string, limit int64, mimeType, message string) {
		t.Helper()
		data, m, err := c.Fetch(t.Context(), url, limit)
		if message != "" {
			if err == nil || !strings.Contains(err.Error(), message) {
				t.Errorf("%s: %v", url, err)
			}
			return
		}
		if err != nil || string(data) != png || m != mimeType {
			t.Errorf("%s: %d bytes, %q, %v", url, len(data), m, err)
		}
	}
	f(srv.URL+"/png", 108, "image/png", "")
	f(srv.URL+"/typed", 108, "image/webp", "")
	f(srv.URL+"/once", 108, "image/png", "")
	f(srv.URL+"/png", 107, "", "size limit")
	f(srv.URL+"/typed", 107, "", "size limit")
	f(srv.URL+"/loop", 107, "", "redirects")
	f(srv.URL+"/file", 107, "", "only http and https")
	f(srv.URL+"/none", 107, "", "status 404")
	f("ftp://example.com/x", 107, "", "only http and https")
	f("http://\x7f", 107, "", "parse URL")
}
