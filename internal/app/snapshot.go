package app

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/api"
	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/egress"
	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/provider"
	"github.com/weir-gateway/weir/internal/proxy"
	"github.com/weir-gateway/weir/internal/route"
	"github.com/weir-gateway/weir/internal/usage"
	"github.com/weir-gateway/weir/internal/wire"
)

// maxReply bounds a whole answer from an upstream, maxFrame one event of a stream, in bytes.
const (
	maxReply = 256 << 20
	maxFrame = 32 << 20
)

// snapshot builds what the hot path reads; the accounts are locked. A model entry that is wrong becomes a problem and is left out; it never stops the rest.
func (a *App) snapshot(cfg *config.Config) (*proxy.Snapshot, []config.Problem, error) {
	var problems []config.Problem
	var deployments []*route.Deployment
	for i := range cfg.Models {
		m := &cfg.Models[i]
		d, err := a.deployment(cfg, m)
		if err != nil {
			problems = append(problems, config.Problem{File: m.File, Line: m.Line, Severity: config.Entry,
				Message: fmt.Sprintf("model %q left out: %v", m.Name, err)})
			continue
		}
		deployments = append(deployments, d)
	}
	added, blocked := a.runTime(cfg, &problems)
	for _, m := range added {
		d, err := a.deployment(cfg, &m)
		if err != nil {
			problems = append(problems, config.Problem{File: "database", Severity: config.Entry, Message: fmt.Sprintf("model %q left out: %v", m.Name, err)})
			continue
		}
		deployments = append(deployments, d)
	}
	hosted, asleep := a.fleetRoutes(cfg, &problems)
	deployments = append(deployments, hosted...)
	for _, m := range a.builtin(cfg) {
		d, err := a.deployment(cfg, &m)
		if err != nil {
			problems = append(problems, config.Problem{Severity: config.Entry, Message: fmt.Sprintf("model %q left out: %v", m.Name, err)})
			continue
		}
		deployments = append(deployments, d)
	}
	var own []account.Key
	for _, k := range cfg.Weir.Keys {
		own = append(own, account.Key{Hash: auth.Hash(k.Key.Reveal()), Name: auth.Abbreviate(k.Key.Reveal()), Alias: k.Alias,
			UserID: k.UserID, TeamID: k.TeamID, Models: k.Models, Blocked: k.Blocked, Metadata: k.Metadata})
	}
	defaults, more := defaultLimits(cfg)
	problems = append(problems, more...)
	a.accounts.options = auth.Options{Master: a.masterKey, Own: own, Groups: accessGroups(deployments), Limiter: a.limits,
		Gateway: defaults.gateway, KeyLimits: account.Limits{Parallel: cfg.General.KeyParallel}, CustomerLimits: defaults.customer,
		ProviderOf: provider.Guess, ModelDenied: int(cfg.General.ErrorStatus["model_denied"]),
		UserBudgetWithoutTeams: !cfg.Weir.Limits.UserBudgetWithTeams}
	a.accounts.dir = a.accounts.dir.With(a.accounts.options)
	signIn, more := a.signIn(cfg)
	problems = append(problems, more...)
	return &proxy.Snapshot{
		Auth:   a.accounts.dir,
		SignIn: signIn,
		Asleep: asleep, Blocked: blocked,
		Routes: route.NewTable(deployments, cfg.Router.ModelGroupAlias, a.price),
		Known:  a.prices.Models,
		Settings: proxy.Settings{MaxBody: cfg.MaxBody(), MaxReply: maxReply, MaxFrame: maxFrame,
			MaxDepth: int(cfg.Weir.Limits.MaxJSONDepth), MockTesting: cfg.General.PermitMockTest, RefuseUnpriced: cfg.Weir.Limits.Unpriced == "refuse",
			BudgetStatus: int(cfg.General.ErrorStatus["budget_exceeded"]), EnforceUser: cfg.General.EnforceUser, RejectTags: cfg.General.RejectTags, WakeTimeout: cfg.Fleet.WakeTimeout, TokensCounted: cfg.General.TokensCounted},
	}, problems, nil
}

// limitDefaults are the limits that the configuration itself sets.
type limitDefaults struct{ gateway, customer account.Limits }

func defaultLimits(cfg *config.Config) (d limitDefaults, problems []config.Problem) {
	l := &cfg.LiteLLM
	d.gateway = account.Limits{MaxBudget: nanos(l.MaxBudget), BudgetDuration: l.BudgetDuration, Parallel: cfg.General.Parallel}
	d.customer = account.Limits{MaxBudget: nanos(l.MaxEndUserBudget), BudgetID: l.MaxEndUserBudgetID}
	for name, period := range map[string]string{"budget_duration": l.BudgetDuration, "internal_user_budget_duration": l.UserBudgetDuration} {
		if _, err := account.ParsePeriod(period); period != "" && err != nil {
			problems = append(problems, config.Problem{Severity: config.Error, Path: "litellm_settings." + name,
				Message: "litellm_settings." + name + ": " + err.Error()})
		}
	}
	return d, problems
}

func nanos(usd *float64) *llm.Nanos {
	if usd == nil {
		return nil
	}
	n := llm.Nanos(math.Round(*usd * 1e9))
	return &n
}

// accessGroups lists the models of each group that deployments name in their model_info.access_groups.
func accessGroups(deployments []*route.Deployment) map[string][]string {
	groups := map[string][]string{}
	for _, d := range deployments {
		for _, g := range d.Info.AccessGroups {
			if !slices.Contains(groups[g], d.Group) {
				groups[g] = append(groups[g], d.Group)
			}
		}
	}
	return groups
}

// runTime are the models added through the management API, and the names of those that were blocked there.
func (a *App) runTime(cfg *config.Config, problems *[]config.Problem) (out []config.Model, blocked map[string]bool) {
	if len(a.accounts.models) == 0 {
		return nil, nil
	}
	blocked = map[string]bool{}
	models, more := api.RunTimeModels(cfg, a.accounts.models, a.accounts.creds, a.sealer.Open)
	*problems = append(*problems, more...)
	for i := range models {
		m := models[i].Model
		if models[i].Blocked {
			blocked[m.Name] = true
			continue
		}
		m.Info.TeamID = models[i].TeamID
		out = append(out, m)
	}
	return out, blocked
}

// builtin are the models that need no entry: demo, and, when no configuration file is given, every provider whose variables are set.
func (a *App) builtin(cfg *config.Config) []config.Model {
	named := map[string]bool{}
	for i := range cfg.Models {
		named[cfg.Models[i].Name] = true
	}
	var out []config.Model
	if !named["demo"] {
		out = append(out, config.Model{Name: "demo", Params: config.Params{Model: "demo/demo"}, Info: config.ModelInfo{ID: "demo", Mode: "chat"}})
	}
	if a.o.ConfigPath == "" {
		for _, f := range a.found {
			if !named[f.Wildcard] {
				out = append(out, config.Model{Name: f.Wildcard, Params: config.Params{Model: f.Wildcard}, Info: config.ModelInfo{ID: f.Wildcard}})
			}
		}
	}
	return out
}

// deployment turns one entry of the model list into what a call needs.
func (a *App) deployment(cfg *config.Config, m *config.Model) (*route.Deployment, error) {
	u, err := a.factory.New(mocked(m.Params), m.Info)
	if err != nil {
		return nil, err
	}
	t := cfg.Weir.Timeouts
	d := route.NewDeployment(route.Deployment{
		ID: m.Info.ID, Group: m.Name, Upstream: u, DropParams: cfg.Drops(m), Weight: 1, Mode: m.Info.Mode, Info: m.Info, Params: m.Params,
		Timeouts: egress.Timeouts{Connect: t.Connect, FirstByte: cfg.FirstByteTimeout(m, false), Idle: t.Idle, Total: cfg.TotalTimeout(m)},
		Stream:   egress.Timeouts{Connect: t.Connect, FirstByte: cfg.FirstByteTimeout(m, true), Idle: t.Idle, Total: cfg.TotalTimeout(m)},
	})
	if m.Params.StreamTimeout > 0 {
		d.Stream.Idle = m.Params.StreamTimeout
	}
	if w := m.Params.Weight; w != nil {
		d.Weight = *w
	}
	if d.Defaults, err = defaults(m.Params.Defaults); err != nil {
		return nil, err
	}
	d.Price, d.Priced = a.price(u, *m)
	if d.Mode == "" {
		d.Mode = d.Price.Mode
	}
	if d.Upstream.Target.MaxOutput == 0 {
		d.Upstream.Target.MaxOutput = d.Price.MaxOutput
	}
	return d, nil
}

// mocked lets the built-in model say the deployment's mock_response, if it has one, in the upstream's place.
func mocked(p config.Params) config.Params {
	if p.MockResponse == "" {
		return p
	}
	_, name, _ := strings.Cut(p.Model, "/")
	return config.Params{Model: "demo/" + name + "?" + url.Values{"answer": {"said"}, "text": {p.MockResponse}}.Encode()}
}

// price finds what a deployment costs and how much it takes; nothing known is an empty price and false.
func (a *App) price(u *provider.Upstream, m config.Model) (*usage.Price, bool) {
	price, ok := a.prices.Deployment(u.Provider, u.Model, m.Info.BaseModel, m.Params.Cost)
	if !ok {
		price = &usage.Price{}
	}
	if m.Info.MaxInputTokens > 0 || m.Info.MaxOutputTokens > 0 {
		price = price.Override(nil)
		if m.Info.MaxInputTokens > 0 {
			price.MaxInput = m.Info.MaxInputTokens
		}
		if m.Info.MaxOutputTokens > 0 {
			price.MaxOutput = m.Info.MaxOutputTokens
		}
	}
	return price, ok && price.Priced()
}

// loadPrices gives the built-in prices with the user's own map over them.
func loadPrices(path string) (*usage.Prices, error) {
	prices := usage.NewPrices()
	if path == "" {
		return prices, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("weir.price_map: %w", err)
	}
	with, skipped, err := prices.WithMap(text)
	if err != nil {
		return nil, fmt.Errorf("weir.price_map: %s: %w", path, err)
	}
	if len(skipped) > 0 {
		return nil, fmt.Errorf("weir.price_map: %s: entries that can't be read: %s", path, strings.Join(skipped, ", "))
	}
	return with, nil
}

// defaults turns a deployment's request parameters into edits that take effect where the client said nothing.
func defaults(params map[string]any) ([]wire.Edit, error) {
	if extra, ok := params["extra_body"].(map[string]any); ok { // as OpenAI's SDK does: its fields stand beside the others
		merged := maps.Clone(params)
		delete(merged, "extra_body")
		maps.Copy(merged, extra)
		params = merged
	}
	names := make([]string, 0, len(params))
	for name := range params {
		names = append(names, name)
	}
	sort.Strings(names)
	var out []wire.Edit
	for _, name := range names {
		value, err := json.Marshal(params[name], json.Deterministic(true))
		if err != nil {
			return nil, fmt.Errorf("litellm_params.%s: %w", name, err)
		}
		out = append(out, wire.Edit{Name: name, Value: value, Default: true})
	}
	return out, nil
}
