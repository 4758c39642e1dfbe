package lisa

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/weir-gateway/weir/internal/fleet"
)

// The sentences of the contract (lisa.md A.1.2).
const (
	allOrNone = "All of the following fields must be defined if creating a LISA-hosted model: " +
		"autoScalingConfig, containerConfig, inferenceContainer, instanceType, and loadBalancerConfig"
	embeddingStreams = "Embedding model cannot be set with streaming enabled."
	minOverMax       = "minCapacity must be less than or equal to the maxCapacity."
	desiredOverMax   = "Desired capacity must be less than or equal to max capacity."
	desiredUnderMin  = "Desired capacity must be greater than or equal to minimum capacity."
	emptyVariable    = "Empty strings are not allowed for environment variable key names."
)

// builtIn are the inferenceContainers that a gateway can run without configuration: LISA's and two more.
func builtIn(name string) bool {
	return slices.Contains([]string{"tgi", "tei", "vllm", "llamacpp", "ollama"}, name)
}

// modelTypes are what a model can be for.
var modelTypes = []string{"textgen", "imagegen", "videogen", "embedding"}

// definition reads CreateModel, and the key of the model if one is given.
func (a *API) definition(o object) (d fleet.Definition, apiKey string, err error) {
	d.ModelID = value(o.text("modelId", true))
	if why := badID(d.ModelID); why != "" && d.ModelID != "" {
		o.breaks("modelId", why)
	}
	d.ModelName = value(o.text("modelName", true))
	d.Type = value(o.choice("modelType", true, modelTypes...))
	d.Streaming = value(o.flag("streaming"))
	if d.Streaming && d.Type == "embedding" {
		o.breaks("streaming", embeddingStreams)
	}
	d.Description = o.text("modelDescription", false)
	d.URL = o.text("modelUrl", false)
	apiKey = value(o.text("apiKey", false))
	d.Features = o.features()
	d.Groups = o.texts("allowedGroups")
	hosting := o.choice("hostingType", false, "third_party", "lisa_hosted", "internal_hosted")
	d.Guardrails = o.guardrails()
	d.Host = value(o.choice("host", false, "process", "ecs", "kube"))
	d.Kube = o.kube()
	a.hosting(o, &d)
	d.HostingType = "third_party"
	switch {
	case hosting != nil:
		d.HostingType = *hosting
	case d.Hosted():
		d.HostingType = "lisa_hosted"
	}
	checkURL(o, &d)
	if n := o.number("contextWindow", false, 1); n != nil {
		d.ContextWindow = n
	} else if d.Hosted() {
		d.ContextWindow = window(d.ContainerConfig.Environment)
	}
	if v := o.flag("wakeOnRequest"); v != nil {
		d.WakeOnRequest = *v
		if *v && !d.Hosted() && len(o.broken) == 0 {
			o.breaks("wakeOnRequest", "Only a model whose servers are started here can be woken.")
		}
	}
	return d, apiKey, o.err()
}

func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

// maxID is the longest id of a model, in bytes: what the names of directories that are made of it bear.
const maxID = 150

// badID says why an id cannot be one: it must be possible to name it in a URL.
func badID(id string) string {
	switch {
	case len(id) > maxID:
		return fmt.Sprintf("String should have at most %d bytes", maxID)
	case strings.ContainsFunc(id, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return "Control characters are not allowed"
	}
	for part := range strings.SplitSeq(id, "/") {
		if part == "" || part == "." || part == ".." {
			return `The parts between slashes must not be empty, "." or ".."`
		}
	}
	return ""
}

// hosting reads the five fields that all stand there for a model whose servers are made here.
func (a *API) hosting(o object, d *fleet.Definition) {
	fields := []string{"inferenceContainer", "instanceType", "autoScalingConfig", "containerConfig", "loadBalancerConfig"}
	given := 0
	for _, name := range fields {
		if v, ok := o.members[name]; ok && v.Kind() != 'n' {
			given++
		}
	}
	if d.Container = o.text("inferenceContainer", false); d.Container != nil && !a.Container(*d.Container) {
		o.breaks("inferenceContainer", "There is no profile for this inference container.")
	}
	if d.InstanceType = o.text("instanceType", false); d.InstanceType != nil && !a.instances.valid(*d.InstanceType) &&
		!(d.Host == "kube" && labelValue.MatchString(*d.InstanceType)) { // of any cloud, there
		o.breaks("instanceType", "Invalid EC2 instance type.")
	}
	if c, ok := o.child("autoScalingConfig", false); ok {
		d.AutoScaling = c.autoScaling()
	}
	if c, ok := o.child("containerConfig", false); ok {
		d.ContainerConfig = c.container()
	}
	if c, ok := o.child("loadBalancerConfig", false); ok {
		d.LoadBalancer = c.loadBalancer()
	}
	wanted := o.members["hostingType"].Kind() == '"' && textOf(o.members["hostingType"]) == "lisa_hosted"
	if given > 0 && given < len(fields) || given == 0 && wanted {
		o.breaks("body", allOrNone)
	}
}

// checkURL holds that a model of the organization's own is behind one of its load balancers, and that an address is one.
func checkURL(o object, d *fleet.Definition) {
	text := value(d.URL)
	if text == "" {
		if d.HostingType == "internal_hosted" {
			o.breaks("modelUrl", "modelUrl is required for internal_hosted models.")
		}
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		o.breaks("modelUrl", "Input should be a valid URL")
	case u.User != nil:
		o.breaks("modelUrl", "The URL must not hold a password: use apiKey.")
	case d.HostingType == "internal_hosted" && !strings.HasSuffix(strings.ToLower(u.Hostname()), ".elb.amazonaws.com"):
		o.breaks("modelUrl", "modelUrl of an internal_hosted model must be a load balancer: its host ends with .elb.amazonaws.com")
	}
}

// window is how many tokens a server takes, as its environment says (contract lisa.md A.2.2); nil if it does not.
func window(environment map[string]string) *int64 {
	for _, name := range []string{"VLLM_MAX_MODEL_LEN", "MAX_TOTAL_TOKENS"} {
		if n, err := strconv.ParseInt(environment[name], 10, 64); err == nil && n > 0 {
			return &n
		}
	}
	return nil
}

func (o object) features() []fleet.Feature {
	values, ok := o.list("features")
	if !ok {
		return nil
	}
	out := make([]fleet.Feature, 0, len(values))
	for i, v := range values {
		at := "features." + strconv.Itoa(i)
		if v.Kind() != '{' {
			o.breaks(o.at+at, "Input should be a valid object")
			continue
		}
		c := o.inside(at, v)
		out = append(out, fleet.Feature{Name: value(c.text("name", true)), Overview: value(c.text("overview", false))})
	}
	return out
}

// guardrails reads guardrailsConfig; those marked for deletion are left out. nil if there is none.
func (o object) guardrails() map[string]fleet.Guardrail {
	all, ok := o.child("guardrailsConfig", false)
	if !ok {
		return nil
	}
	out := map[string]fleet.Guardrail{}
	for id, v := range all.members {
		if v.Kind() != '{' {
			o.breaks(all.at+id, "Input should be a valid object")
			continue
		}
		c := all.inside(id, v)
		g := fleet.Guardrail{Name: value(c.text("guardrailName", true)), Identifier: value(c.text("guardrailIdentifier", true)),
			Version: value(c.text("guardrailVersion", false)), Mode: value(c.choice("mode", false, "pre_call", "during_call", "post_call")),
			Description: c.text("description", false), Groups: c.texts("allowedGroups")}
		if g.Version == "" {
			g.Version = "DRAFT"
		}
		if g.Mode == "" {
			g.Mode = "pre_call"
		}
		if !value(c.flag("markedForDeletion")) {
			out[id] = g
		}
	}
	return out
}

func (o object) autoScaling() *fleet.AutoScaling {
	a := &fleet.AutoScaling{
		BlockDeviceVolumeSize: o.volume(),
		MinCapacity:           value(o.number("minCapacity", true, 1)),
		MaxCapacity:           value(o.number("maxCapacity", true, 1)),
		DesiredCapacity:       o.number("desiredCapacity", false, 1),
		Cooldown:              value(o.number("cooldown", true, 1)),
		DefaultInstanceWarmup: value(o.warmup(true)),
	}
	o.limits(a.MinCapacity, a.MaxCapacity, value(a.DesiredCapacity))
	if m, ok := o.child("metricConfig", true); ok {
		a.Metric = fleet.Metric{Name: "RequestCountPerTarget", TargetValue: 30, Duration: value(m.number("duration", true, 1)),
			EstimatedInstanceWarmup: value(m.number("estimatedInstanceWarmup", true, 1))}
		if s := m.text("albMetricName", false); s != nil {
			a.Metric.Name = *s
		}
		if n := m.number("targetValue", false, 0); n != nil {
			a.Metric.TargetValue = *n
		}
	}
	if s, ok := o.child("scheduling", false); ok {
		a.Scheduling = s.readSchedule()
	}
	return a
}

// volume is the size of a disk, whose lower bound has a sentence of its own.
func (o object) volume() *int64 {
	n := o.number("blockDeviceVolumeSize", false, -maxNumber)
	if n != nil && *n < 30 {
		o.breaks(o.at+"blockDeviceVolumeSize", "blockDeviceVolumeSize must be greater than or equal to 30.")
	}
	return n
}

// maxWarmup is an hour, in seconds.
const maxWarmup = 3600

func (o object) warmup(need bool) *int64 {
	n := o.number("defaultInstanceWarmup", need, 1)
	if n != nil && *n > maxWarmup {
		o.breaks(o.at+"defaultInstanceWarmup", "Input should be less than or equal to "+strconv.Itoa(maxWarmup))
	}
	return n
}

// limits holds numbers of servers against each other; 0: it is not given.
func (o object) limits(least, most, desired int64) {
	if least > 0 && most > 0 && least > most {
		o.breaks(o.at+"minCapacity", minOverMax)
	}
	if desired > 0 && most > 0 && desired > most {
		o.breaks(o.at+"desiredCapacity", desiredOverMax)
	}
	if desired > 0 && desired < least {
		o.breaks(o.at+"desiredCapacity", desiredUnderMin)
	}
}

func (o object) container() *fleet.ContainerConfig {
	c := &fleet.ContainerConfig{}
	if image, ok := o.child("image", true); ok {
		c.Image = fleet.Image{Base: value(image.text("baseImage", true)), Type: value(image.text("type", true))}
	}
	c.SharedMemorySize = value(o.number("sharedMemorySize", true, 1))
	if h, ok := o.child("healthCheckConfig", true); ok {
		c.HealthCheck = fleet.ContainerHealth{Command: h.command("command", true), Interval: value(h.number("interval", true, 1)),
			StartPeriod: value(h.number("startPeriod", true, 1)), Timeout: value(h.number("timeout", true, 1)), Retries: value(h.number("retries", true, 1))}
	}
	if c.Environment = o.environment(); c.Environment == nil {
		c.Environment = map[string]string{}
	}
	c.MemoryReservation = o.number("memoryReservation", false, 0)
	return c
}

// environment reads names and values of variables; nil if there are none.
func (o object) environment() map[string]string {
	e, ok := o.child("environment", false)
	if !ok {
		return nil
	}
	out := map[string]string{}
	for name, v := range e.members {
		switch {
		case name == "":
			o.breaks(o.at+"environment", emptyVariable)
		case v.Kind() != '"':
			o.breaks(e.at+name, "Input should be a valid string")
		default:
			out[name] = textOf(v)
		}
	}
	return out
}

// command reads a health command: a line for a shell, or CMD or CMD-SHELL and what they run. nil if it is absent or wrong.
func (o object) command(name string, need bool) any {
	v, ok := o.get(name, need, `"[`, "a valid string or list of strings")
	if !ok {
		return nil
	}
	if v.Kind() == '"' {
		if s := textOf(v); strings.TrimSpace(s) != "" {
			return s
		}
		o.breaks(o.at+name, "Health check command must not be empty.")
		return nil
	}
	parts := object{form: o.form, at: o.at, members: map[string]jsontext.Value{name: v}}.texts(name)
	if len(parts) < 2 || parts[0] != "CMD" && parts[0] != "CMD-SHELL" || strings.TrimSpace(parts[1]) == "" {
		o.breaks(o.at+name, "Health check command must begin with CMD or CMD-SHELL, followed by what it runs.")
		return nil
	}
	return parts
}

func (o object) loadBalancer() *fleet.LoadBalancer {
	l := &fleet.LoadBalancer{}
	if h, ok := o.child("healthCheckConfig", true); ok {
		l.Health = fleet.LoadBalancerHealth{Path: value(h.text("path", true)), Interval: value(h.number("interval", true, 1)),
			Timeout: value(h.number("timeout", true, 1)), HealthyCount: value(h.number("healthyThresholdCount", true, 1)),
			UnhealthyCount: value(h.number("unhealthyThresholdCount", true, 1))}
	}
	return l
}
