package app

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/egress"
	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/process"
	"github.com/weir-gateway/weir/internal/proxy"
	"github.com/weir-gateway/weir/internal/route"
)

const (
	healthTimeout = 2 * time.Second
	firstCall     = 60 * time.Second // a first completion may load weights
	fleetLease    = 10 * time.Second
	lastWord      = 2 * time.Second // for giving the lease up
	linger        = 2 * time.Second // until every replica has seen a change
)

// openFleet makes the fleet; its loop starts in Run.
func (a *App) openFleet() error {
	c := a.Config().Fleet
	profiles := process.Profiles()
	for name, p := range c.Process.Profiles {
		profiles[name] = process.Profile{Command: p.Command, Health: p.Health}
	}
	local, err := process.New(process.Options{Dir: filepath.Join(a.dataDir(), "fleet", "process"), Profiles: profiles, Healthy: a.healthy, Now: a.o.Now, Log: a.log,
		Linger: linger, Drain: c.Deadlines.Drain})
	if err != nil {
		return err
	}
	hosts := map[string]fleet.Host{"process": local}
	a.openECS(hosts)
	a.openKube(hosts)
	a.containers = local.Knows
	a.fleet = fleet.New(fleet.Options{
		Store: a.store.Fleet(), Hosts: hosts, DefaultHost: c.Host, Probe: a.firstCall, ProbeExternal: c.ProbeExternal,
		Changed: a.tellChanged, Running: a.hosted.everywhere, Lead: a.leadsFleet,
		Health: func(d *fleet.Definition) string { return healthPath(d, local) }, Now: a.o.Now, Log: a.log,
		Deadlines: fleet.Deadlines{Create: c.Deadlines.Create, Start: c.Deadlines.Start, Update: c.Deadlines.Update, Drain: c.Deadlines.Drain, Delete: c.Deadlines.Delete},
	})
	return nil
}

// leadsFleet takes or keeps the lease of the fleet.
func (a *App) leadsFleet(ctx context.Context) bool {
	now := a.o.Now()
	ok, err := a.store.TryLease(ctx, "fleet", a.journal.ID(), now.UnixMilli(), now.Add(fleetLease).UnixMilli())
	return err == nil && ok
}

// runFleet reconciles until ctx ends, then leaves the fleet to another replica.
func (a *App) runFleet(ctx context.Context) {
	a.fleet.Run(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
	defer cancel()
	if err := a.store.Release(ctx, "fleet", a.journal.ID()); err != nil {
		a.log.Warn("the lease of the fleet was not given up; another replica takes it when it has run out", "error", err)
	}
}

// healthPath is the path that tells that a server is up: the definition's, else the profile's.
func healthPath(d *fleet.Definition, local *process.Host) string {
	if d.LoadBalancer != nil && d.LoadBalancer.Health.Path != "" {
		return d.LoadBalancer.Health.Path
	}
	if d.Container != nil {
		return local.Health(*d.Container)
	}
	return "/health"
}

// healthy asks an address and reports whether it answers 200.
func (a *App) healthy(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := a.egress.Do(req, egress.Timeouts{Connect: healthTimeout, FirstByte: healthTimeout, Total: healthTimeout})
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // the status is what was asked for
	return resp.StatusCode == http.StatusOK
}

// firstCall makes the call that shows that a model answers.
func (a *App) firstCall(ctx context.Context, m *fleet.Model, url string) error {
	entry, err := a.fleetEntry(m, url)
	if err != nil {
		return err
	}
	d, err := a.deployment(a.Config(), &entry)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, firstCall)
	defer cancel()
	if m.Type == "imagegen" || m.Type == "videogen" {
		return nil // a picture is not a small call
	}
	if fault := a.proxy.Probe(ctx, d); fault != nil {
		return fault
	}
	return nil
}

// fleetEntry is a model of the fleet as an entry of the model list (contract lisa.md A.2.2, step 6); url is one of its servers, empty for an
// external model.
func (a *App) fleetEntry(m *fleet.Model, url string) (config.Model, error) {
	name := strings.TrimPrefix(m.ModelName, "openai/")
	p := config.Params{}
	switch container := value(m.Container); {
	case m.Hosted() && container == "vllm":
		p.Model, p.APIBase = "hosted_vllm/"+m.ModelID, url+"/v1"
	case m.Hosted():
		if container == "ollama" || container == "tgi" || container == "tei" {
			p.Model = "openai/" + name
		} else {
			p.Model = "openai/" + m.ModelID
		}
		p.APIBase, p.APIKey = url+"/v1", "none"
	case m.HostingType == "internal_hosted":
		p.Model, p.APIBase, p.APIKey = "openai/"+strings.TrimPrefix(name, "hosted_vllm/"), value(m.URL), "none"
	default:
		p.Model, p.APIBase = m.ModelName, value(m.URL)
	}
	if m.APIKey != "" {
		key, err := a.sealer.Open(m.APIKey)
		if err != nil {
			return config.Model{}, err
		}
		p.APIKey = config.Secret(key)
	}
	mode := map[string]string{"embedding": "embedding", "imagegen": "image_generation", "videogen": "video_generation"}[m.Type]
	info := config.ModelInfo{ID: m.ModelID, Mode: cmp.Or(mode, "chat")}
	if m.ContextWindow != nil {
		info.MaxInputTokens = *m.ContextWindow
	}
	return config.Model{Name: m.ModelID, Params: p, Info: info}, nil
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// fleetRoutes are the deployments of the fleet's models that serve, and what is to be known of those that do not.
func (a *App) fleetRoutes(cfg *config.Config, problems *[]config.Problem) (out []*route.Deployment, asleep map[string]proxy.Asleep) {
	asleep = map[string]proxy.Asleep{}
	for i := range a.accounts.fleet {
		m := &a.accounts.fleet[i]
		urls := m.Replicas
		if !m.Hosted() {
			urls = []string{""}
		}
		serves := (m.Status == fleet.InService || m.Status == fleet.Updating && m.Enabled) && !m.Delete && len(urls) > 0
		if !serves {
			asleep[m.ModelID] = proxy.Asleep{Status: string(m.Status), Wakes: m.WakeOnRequest && m.Hosted() && m.Status != fleet.Failed && !m.Delete, Groups: m.Groups}
			continue
		}
		for n, url := range urls {
			d, err := a.fleetDeployment(cfg, m, url)
			if err != nil {
				*problems = append(*problems, config.Problem{File: "database", Severity: config.Entry, Message: fmt.Sprintf("model %q left out: %v", m.ModelID, err)})
				continue
			}
			if n > 0 {
				d.ID = fmt.Sprintf("%s-%d", d.ID, n)
			}
			out = append(out, d)
		}
	}
	return out, asleep
}

func (a *App) fleetDeployment(cfg *config.Config, m *fleet.Model, url string) (*route.Deployment, error) {
	entry, err := a.fleetEntry(m, url)
	if err != nil {
		return nil, err
	}
	d, err := a.deployment(cfg, &entry)
	if err != nil {
		return nil, err
	}
	d.Groups, d.Running, d.Created = m.Groups, a.hosted.here(m.ModelID), m.Created/1000
	return d, nil
}

// wake starts a sleeping model for a call.
func (a *App) wake(ctx context.Context, id string) (bool, error) { return a.fleet.Wake(ctx, id) }
