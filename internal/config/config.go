package config

import (
	"maps"
	"slices"
	"time"
)

// Config is a whole configuration, ready to use: references resolved, defaults filled in. It is not changed once loaded, so it may be
// shared between goroutines.
//
// The struct tags of this package's types are the configuration's documentation: yaml names the key (alias other spellings of it), doc
// explains it, default is its value when absent, later:"true" marks what is read but has no effect yet, and start:"true" what only a start
// reads, with all below it. Reference lists them all.
type Config struct {
	Models      []Model      `yaml:"model_list" doc:"deployments: which upstreams can answer for which public model names"`
	Credentials []Credential `yaml:"credential_list" doc:"named credentials for litellm_params.litellm_credential_name"`
	LiteLLM     LiteLLM      `yaml:"litellm_settings" doc:"settings of calls"`
	General     General      `yaml:"general_settings" doc:"settings of the gateway as a whole"`
	Router      Router       `yaml:"router_settings" doc:"settings of routing"`
	Fleet       Fleet        `yaml:"fleet" doc:"model servers that Weir runs itself"`
	Weir        Weir         `yaml:"weir" doc:"settings that only Weir knows"`

	// Environment is environment_variables: what Env knows before the process environment.
	Environment map[string]Secret `yaml:"environment_variables" doc:"variables that os.environ/ references and the providers' usual variables see before the process environment"`
	// Include names further files, relative to this one.
	Include []string `yaml:"include" doc:"further files to merge: lists are joined, of two plain values the included file's counts"`

	// Files are the files read, the main one first; a watcher watches these.
	Files []string `yaml:"-"`
	// Digest changes whenever any of the files does.
	Digest string `yaml:"-"`

	env func(string) string
}

// Env looks a variable up as this configuration sees it: environment_variables first, then the process environment.
func (c *Config) Env(name string) string {
	if v, ok := c.Environment[name]; ok {
		return v.Reveal()
	}
	if c.env == nil {
		return ""
	}
	return c.env(name)
}

// Credential is one entry of credential_list. Its values stand in for the parameters that an entry of model_list leaves out.
type Credential struct {
	Name string `yaml:"credential_name" doc:"name that litellm_credential_name refers to"`
	// Values are keys of litellm_params.
	Values map[string]Secret `yaml:"credential_values" doc:"api_key, api_base and other connection keys of litellm_params"`
	Info   map[string]any    `yaml:"credential_info" doc:"description and custom_llm_provider, for people"`
	Line   int               `yaml:"-"`
}

// LiteLLM is litellm_settings.
type LiteLLM struct {
	DropParams     bool          `yaml:"drop_params" default:"true" doc:"drop request parameters that the upstream's dialect can't express, naming them in the x-weir-dropped header; false refuses such calls with a 400"`
	ModifyParams   bool          `yaml:"modify_params" doc:"accepted: the fix-ups a provider needs to take a request (an opening user turn, say) are always made"`
	RequestTimeout time.Duration `yaml:"request_timeout" default:"0s" doc:"longest time an upstream call may take; 0: weir.timeouts.total"`

	MaxBudget          *float64 `yaml:"max_budget" doc:"budget in USD of the whole gateway; the master key's calls count and are never refused for it"`
	BudgetDuration     string   `yaml:"budget_duration" doc:"period of that budget: 30s, 30m, 30h, 30d, 1mo ..."`
	MaxEndUserBudget   *float64 `yaml:"max_end_user_budget" doc:"budget in USD of an end user who has none of their own"`
	MaxEndUserBudgetID string   `yaml:"max_end_user_budget_id" doc:"shared budget (/budget/new) of an end user who has none of their own"`

	// Users and keys made through the management API.
	UserBudget         *float64       `yaml:"max_internal_user_budget" doc:"budget in USD of a new internal_user that is given none"`
	UserBudgetDuration string         `yaml:"internal_user_budget_duration" doc:"period of that budget: 30s, 30m, 30h, 30d, 1mo ..."`
	UserDefaults       map[string]any `yaml:"default_internal_user_params" doc:"fields of /user/new that a new internal user gets where the request has none: user_role, max_budget, budget_duration, models, tpm_limit, rpm_limit ...; teams (ids, or {team_id, max_budget_in_team, user_role}) are joined"`
	KeyDefaults        map[string]any `yaml:"default_key_generate_params" doc:"fields of /key/generate that a new key gets where the request has none"`
	KeyBounds          map[string]any `yaml:"upperbound_key_generate_params" doc:"largest max_budget, tpm_limit, rpm_limit, max_parallel_requests, duration and budget_duration of a new key; a request for more is refused, and one that names none gets this"`
	KeyGeneration      KeyGeneration  `yaml:"key_generation_settings" doc:"who may make keys"`
	CheckAliases       bool           `yaml:"enable_key_alias_format_validation" doc:"take only key aliases of 2 to 255 letters, digits and _-/.@ that begin and end with a letter or a digit"`
	Timezone           string         `yaml:"timezone" start:"true" default:"UTC" doc:"time zone whose days, weeks and months budget periods follow, as in Europe/Berlin"`
}

// KeyGeneration is litellm_settings.key_generation_settings: who may make keys beside administrators, and what such a key must say.
type KeyGeneration struct {
	Team struct {
		Roles    []string `yaml:"allowed_team_member_roles" doc:"roles in a team (admin, user) that may make keys of the team; empty: its admins, and members whom the team permits /key/generate"`
		Required []string `yaml:"required_params" doc:"fields a request for such a key must have"`
	} `yaml:"team_key_generation" doc:"keys of teams"`
	Personal struct {
		Roles    []string `yaml:"allowed_user_roles" doc:"roles that may make keys of their own; empty: every role that may make keys"`
		Required []string `yaml:"required_params" doc:"fields a request for such a key must have"`
	} `yaml:"personal_key_generation" doc:"keys of no team"`
}

// General is general_settings.
type General struct {
	MasterKey      Secret           `yaml:"master_key" start:"true" doc:"key that may do everything; WEIR_MASTER_KEY and LITELLM_MASTER_KEY set it too"`
	MaxRequestMB   float64          `yaml:"max_request_size_mb" default:"0" doc:"largest request body in MB; 0: weir.limits.max_body_mb"`
	DatabaseURL    Secret           `yaml:"database_url" start:"true" doc:"postgres:// address of the database; empty: SQLite in the data directory. DATABASE_URL sets it too"`
	NoPersonalKeys bool             `yaml:"default_team_disabled" doc:"only administrators make keys of no team"`
	PermitWeakKey  bool             `yaml:"dangerously_permit_weak_or_unset_master_key" doc:"accepted: a gateway without a master key generates one"`
	KeyParallel    *int64           `yaml:"max_parallel_requests" doc:"calls at a time of a key that has no limit of its own"`
	Parallel       *int64           `yaml:"global_max_parallel_requests" doc:"calls at a time of the whole gateway"`
	TokensCounted  string           `yaml:"token_rate_limit_type" default:"total" doc:"which tokens a tpm_limit counts: total, input or output"`
	EnforceUser    bool             `yaml:"enforce_user_param" doc:"refuse calls that do not name their end user (user)"`
	RejectTags     bool             `yaml:"reject_clientside_metadata_tags" doc:"refuse calls that bring tags of their own"`
	KeyHeader      string           `yaml:"litellm_key_header_name" doc:"a header that holds the key, looked at before all others"`
	AlertWebhook   Secret           `yaml:"alert_to_webhook_url" doc:"address that is told (POST, JSON) when a budget or a soft budget is reached; WEBHOOK_URL sets it too"`
	ErrorStatus    map[string]int64 `yaml:"error_status" doc:"HTTP statuses of older LiteLLM versions: budget_exceeded (422), model_denied (403)"`
	PermitMockTest bool             `yaml:"dangerously_allow_mock_testing_request_params" later:"true" doc:"let clients ask for simulated failures"`
	EnableJWT      bool             `yaml:"enable_jwt_auth" default:"false" doc:"take tokens (JWT) in place of keys, of the issuer that JWT_PUBLIC_KEY_URL, JWT_ISSUER and JWT_AUDIENCE name; needless with weir.oidc or OKTA_ISSUER and OKTA_AUDIENCE"`
	JWT            JWTAuth          `yaml:"litellm_jwtauth" doc:"what the claims of tokens mean; also of those that weir.oidc and OKTA_ISSUER let in"`
}

// Router is router_settings.
type Router struct {
	Timeout         time.Duration    `yaml:"timeout" default:"0s" doc:"longest time an upstream call may take; 0: litellm_settings.request_timeout"`
	StreamTimeout   time.Duration    `yaml:"stream_timeout" default:"0s" doc:"longest wait for the first byte of a stream; 0: weir.timeouts.first_byte"`
	RedisURL        Secret           `yaml:"redis_url" start:"true" doc:"Redis or Valkey that makes limits and budgets common to all replicas: redis://user:password@host:port/db, rediss:// for TLS. REDIS_URL sets it too"`
	RedisHost       string           `yaml:"redis_host" start:"true" doc:"its host, where there is no URL; REDIS_HOST sets it too"`
	RedisPort       string           `yaml:"redis_port" start:"true" doc:"its port; empty: 6379. REDIS_PORT sets it too"`
	RedisUsername   string           `yaml:"redis_username" start:"true" doc:"user at it; REDIS_USERNAME sets it too"`
	RedisPassword   Secret           `yaml:"redis_password" start:"true" doc:"password at it; REDIS_PASSWORD sets it too"`
	RedisDB         string           `yaml:"redis_db" start:"true" doc:"number of its database; REDIS_DB sets it too"`
	RedisSSL        string           `yaml:"redis_ssl" start:"true" doc:"true: connect with TLS; REDIS_SSL sets it too"`
	ModelGroupAlias map[string]Alias `yaml:"model_group_alias" doc:"other public names of models: {alias: model} or {alias: {model: name, hidden: true}}"`
}

// Alias is another name of a model.
type Alias struct {
	Model  string `yaml:"model" doc:"public name of the model that answers"`
	Hidden bool   `yaml:"hidden" doc:"leave the alias out of model lists"`
}

// Weir is our own section.
type Weir struct {
	Listen          string        `yaml:"listen" start:"true" default:":4000" doc:"address of the user door, host:port"`
	AdminListen     string        `yaml:"admin_listen" start:"true" default:"127.0.0.1:4001" doc:"address of the admin door, host:port: LISA's /models and /metrics/users at its root, which the user door has under /api"`
	DataDir         string        `yaml:"data_dir" start:"true" default:"" doc:"directory of the database, the journal and the generated key; empty: weir-data in the working directory"`
	Keys            []Key         `yaml:"keys" doc:"keys that clients may use"`
	Timeouts        Timeouts      `yaml:"timeouts" doc:"how long an upstream may take, and a client; a number is seconds"`
	Limits          Limits        `yaml:"limits" doc:"what a request may be"`
	PriceMap        string        `yaml:"price_map" start:"true" doc:"file of model prices in LiteLLM's schema, consulted before the built-in one"`
	RedisGone       string        `yaml:"redis_gone" start:"true" default:"local" doc:"what holds while Redis can't be reached: local (each replica serves its share of every limit), open (nobody is refused, all is counted) or closed (callers with a limit get a 503)"`
	Pprof           bool          `yaml:"pprof" start:"true" default:"false" doc:"serve /debug/pprof to admins"`
	Log             Log           `yaml:"log" doc:"the log, on standard error"`
	TLS             TLS           `yaml:"tls" start:"true" doc:"serve HTTPS"`
	OIDC            OIDC          `yaml:"oidc" doc:"tokens (JWT) in place of keys"`
	SigV4           SigV4         `yaml:"sigv4" doc:"requests signed by AWS clients, with credentials issued for a key"`
	Signup          Signup        `yaml:"signup" doc:"what users who make themselves through /user/new, signed in with a JWT, may give themselves at most"`
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout" default:"30s" doc:"how long running calls may go on after SIGTERM"`
}

// Signup bounds users who make themselves. Where a ceiling is absent, the default for new users is one, if there is that.
type Signup struct {
	Disabled  bool     `yaml:"disabled" doc:"only administrators make users"`
	MaxBudget *float64 `yaml:"max_budget" doc:"largest budget in USD"`
	TPM       *int64   `yaml:"tpm_limit" doc:"most tokens a minute"`
	RPM       *int64   `yaml:"rpm_limit" doc:"most requests a minute"`
	Parallel  *int64   `yaml:"max_parallel_requests" doc:"most calls at a time"`
	Models    []string `yaml:"models" doc:"models they may choose from, with * as wildcard; empty: those of default_internal_user_params, if it names any, else all"`
	Teams     []string `yaml:"teams" doc:"teams they may join by asking for it, beside those they are put in"`
}

// Key is a client's key that stands in the configuration.
type Key struct {
	Key      Secret         `yaml:"key" doc:"the key as clients send it; required"`
	Alias    string         `yaml:"key_alias" doc:"name for people and logs"`
	UserID   string         `yaml:"user_id" doc:"user the calls are booked on"`
	TeamID   string         `yaml:"team_id" doc:"team the calls are booked on"`
	Models   []string       `yaml:"models" doc:"public names the key may call, with * as wildcard; empty: all"`
	Metadata map[string]any `yaml:"metadata" doc:"free; kept with the records"`
	Blocked  bool           `yaml:"blocked" default:"false" doc:"refuse the key"`
	Line     int            `yaml:"-"`
}

// Timeouts bound the stages of a call; 0 means no bound.
type Timeouts struct {
	Connect   time.Duration `yaml:"connect" default:"10s" doc:"connecting, TLS included"`
	FirstByte time.Duration `yaml:"first_byte" default:"10m" doc:"from the request sent to the first byte of the answer"`
	Idle      time.Duration `yaml:"idle" default:"5m" doc:"between two pieces of an answer"`
	Total     time.Duration `yaml:"total" default:"100m" doc:"the whole call"`
	Client    time.Duration `yaml:"client" start:"true" default:"2m" doc:"how long a client may accept no byte of its answer before it is cut"`
}

// Limits bound what a client may send.
type Limits struct {
	MaxBodyMB           float64 `yaml:"max_body_mb" default:"100" doc:"largest request body in MiB, after decompression"`
	MaxJSONDepth        int64   `yaml:"max_json_depth" default:"512" doc:"deepest nesting of a JSON body"`
	Unpriced            string  `yaml:"unpriced_models" default:"allow" doc:"calls of models without a known price: allow counts their tokens and flags the record, refuse answers 400"`
	UserBudgetWithTeams bool    `yaml:"user_budget_with_teams" default:"true" doc:"a user's budget counts the calls they make with keys of teams as well; false is as LiteLLM does it"`
}

// MaxBody is the largest request body in bytes: the smaller of the two settings that bound it.
func (c *Config) MaxBody() int64 {
	mb := c.Weir.Limits.MaxBodyMB
	if g := c.General.MaxRequestMB; g > 0 && g < mb {
		mb = g
	}
	return int64(mb * (1 << 20))
}

// TotalTimeout is how long a deployment's whole call may take: its own setting, then the router's, then LiteLLM's, then Weir's.
func (c *Config) TotalTimeout(m *Model) time.Duration {
	return firstSet(m.Params.Timeout, c.Router.Timeout, c.LiteLLM.RequestTimeout, c.Weir.Timeouts.Total)
}

// FirstByteTimeout is how long a deployment may take to begin its answer.
func (c *Config) FirstByteTimeout(m *Model, stream bool) time.Duration {
	if stream {
		return firstSet(m.Params.StreamTimeout, c.Router.StreamTimeout, c.Weir.Timeouts.FirstByte)
	}
	return c.Weir.Timeouts.FirstByte
}

func firstSet(ds ...time.Duration) time.Duration {
	for _, d := range ds {
		if d > 0 {
			return d
		}
	}
	return 0
}

// Drops says whether parameters that a deployment's dialect can't express are dropped (true) or refused.
func (c *Config) Drops(m *Model) bool {
	if m.Params.DropParams != nil {
		return *m.Params.DropParams
	}
	return c.LiteLLM.DropParams
}

// Log is the log's level and form.
type Log struct {
	Level  string `yaml:"level" default:"info" start:"true" oneof:"debug,info,warn,error" doc:"debug, info, warn or error"`
	Format string `yaml:"format" default:"auto" start:"true" oneof:"auto,json,text" doc:"json, text, or auto: text on a terminal, json elsewhere"`
}

// TLS names the certificate files; both or neither.
type TLS struct {
	Cert string `yaml:"cert" doc:"file with the certificate chain in PEM, whose content is read again when it changes"`
	Key  string `yaml:"key" doc:"file with the private key in PEM"`
}

// ModelNames lists the public names of the models, each once, in the file's order.
func (c *Config) ModelNames() []string {
	var out []string
	seen := map[string]bool{}
	for i := range c.Models {
		if name := c.Models[i].Name; !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

// EnvNames lists the variables that environment_variables sets, sorted.
func (c *Config) EnvNames() []string { return slices.Sorted(maps.Keys(c.Environment)) }
