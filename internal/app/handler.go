package app

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// handler is the user door: the inference routes straight to the proxy, the rest through a mux.
func (a *App) handler() http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"/v1/models", "/models", "/v2/serve/models", "/v2/serve/v1/models", "/openai/v1/models", "/cursor/v1/models"} {
		mux.HandleFunc("GET "+path, a.proxy.ServeModels)
		mux.HandleFunc("GET "+path+"/{id...}", a.proxy.ServeModels)
	}
	mux.HandleFunc("GET /health/liveliness", alive)
	mux.HandleFunc("GET /health/liveness", alive)
	mux.HandleFunc("GET /health/readiness", a.ready)
	for _, path := range []string{"/health/liveliness", "/health/liveness", "/health/readiness"} {
		mux.HandleFunc("OPTIONS "+path, probeOptions)
	}
	mux.HandleFunc("GET /health", a.health)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{}))
	if a.o.Pprof || a.Config().Weir.Pprof {
		mux.HandleFunc("GET /debug/pprof/", a.admin(pprof.Index))
		mux.HandleFunc("GET /debug/pprof/profile", a.admin(pprof.Profile))
		mux.HandleFunc("GET /debug/pprof/trace", a.admin(pprof.Trace))
	}
	mux.HandleFunc("GET /{$}", a.root)
	a.api.Register(mux)
	a.registerLISA(mux, "/api")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header["Origin"] != nil && allowCORS(w, r) {
			return
		}
		if a.proxy.Serve(w, r) {
			return
		}
		if h, pattern := mux.Handler(r); pattern == "" {
			refuse(w, r, h)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// adminDoor is the second door: LISA's management API at its root.
func (a *App) adminDoor() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health/liveliness", alive)
	mux.HandleFunc("GET /health/readiness", a.ready)
	a.registerLISA(mux, "")
	return mux
}

// refuse answers in LiteLLM's form what the mux has no route for: a 405 for a known path with a wrong method, else a 404. LiteLLM does not
// name HEAD beside GET.
func refuse(w http.ResponseWriter, r *http.Request, mux http.Handler) {
	said := headOnly{head: http.Header{}}
	mux.ServeHTTP(&said, r)
	status := http.StatusNotFound
	if said.status == http.StatusMethodNotAllowed {
		status = said.status
		w.Header().Set("Allow", strings.Replace(said.head.Get("Allow"), "GET, HEAD", "GET", 1))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"detail":"` + http.StatusText(status) + `"}`))
}

// headOnly takes the head of an answer and drops its text.
type headOnly struct {
	head   http.Header
	status int
}

func (h *headOnly) Header() http.Header         { return h.head }
func (h *headOnly) WriteHeader(status int)      { h.status = status }
func (h *headOnly) Write(b []byte) (int, error) { return len(b), nil }

// corsMethods are the methods that a page of another origin may use.
const corsMethods = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"

// allowCORS lets pages of any origin in, as LiteLLM does: the key is what counts, and it is never a cookie. It answers a browser's preflight
// request itself, and reports whether it did.
func allowCORS(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Add("Vary", "Origin")
	method := r.Header.Get("Access-Control-Request-Method")
	if r.Method != http.MethodOptions || method == "" {
		h.Set("Access-Control-Expose-Headers", "*")
		return false
	}
	h.Set("Access-Control-Allow-Methods", corsMethods)
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
	}
	h.Set("Access-Control-Max-Age", "600")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	status, body := http.StatusOK, "OK"
	if !strings.Contains(", "+corsMethods+",", ", "+method+",") {
		status, body = http.StatusBadRequest, "Disallowed CORS method"
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
	return true
}

// probeOptions answers OPTIONS on the health probes, which some load balancers send.
func probeOptions(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Allow", "GET, OPTIONS")
	h.Set("Access-Control-Allow-Methods", "GET, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "*")
	w.WriteHeader(http.StatusOK)
}

// admin lets only administrators through.
func (a *App) admin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.requireAdmin(w, r) {
			next(w, r)
		}
	}
}

// root tells a person who opens the address in a browser where they are.
func (a *App) root(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(strings.Join([]string{
		"Weir " + a.o.Version + ": one door to every large language model.", "",
		"OpenAI      POST /v1/chat/completions, /v1/responses, /v1/embeddings", "Anthropic   POST /v1/messages",
		"Bedrock     POST /bedrock/model/{model}/converse", "Gemini      POST /v1beta/models/{model}:generateContent",
		"Models      GET  /v1/models", "Health      GET  /health/liveliness, /health/readiness", "Metrics     GET  /metrics", "",
	}, "\n")))
}
