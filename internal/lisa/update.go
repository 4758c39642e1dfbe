package lisa

import "github.com/weir-gateway/weir/internal/fleet"

// nothingSet is what an update that says nothing is told (contract lisa.md A.2.4).
const nothingSet = "At least one field out of autoScalingInstanceConfig, containerConfig, enabled, modelType, modelDescription, streaming, " +
	"allowedGroups, features, or guardrailsConfig must be defined in request payload."

// updatable are the fields of UpdateModel; wakeOnRequest is beyond LISA's.
var updatable = []string{"autoScalingInstanceConfig", "containerConfig", "enabled", "modelType", "modelDescription", "streaming", "allowedGroups",
	"features", "guardrailsConfig", "wakeOnRequest"}

// readUpdate reads UpdateModel by the rules that need no model, in the contract's order (1 to 6).
func readUpdate(o object) (fleet.Update, error) {
	given := 0
	for _, name := range updatable {
		if v, ok := o.members[name]; ok && v.Kind() != 'n' {
			given++
		}
	}
	if given == 0 {
		o.breaks("body", nothingSet)
	}
	u := fleet.Update{Enabled: o.flag("enabled"), Type: o.choice("modelType", false, modelTypes...), Streaming: o.flag("streaming")}
	if value(u.Type) == "embedding" && value(u.Streaming) {
		o.breaks("streaming", embeddingStreams)
	}
	if c, ok := o.part("autoScalingInstanceConfig", "minCapacity", "maxCapacity", "desiredCapacity", "cooldown", "defaultInstanceWarmup"); ok {
		u.Scaling = &fleet.ScalingUpdate{Min: c.number("minCapacity", false, 1), Max: c.number("maxCapacity", false, 1),
			Desired: c.number("desiredCapacity", false, 1), Cooldown: c.number("cooldown", false, 1), Warmup: c.warmup(false)}
		c.limits(value(u.Scaling.Min), value(u.Scaling.Max), value(u.Scaling.Desired))
	}
	if c, ok := o.part("containerConfig", "environment", "sharedMemorySize", "healthCheckCommand", "healthCheckInterval", "healthCheckTimeout",
		"healthCheckStartPeriod", "healthCheckRetries"); ok {
		u.Container = &fleet.ContainerUpdate{Environment: c.environment(), SharedMemorySize: c.number("sharedMemorySize", false, 1),
			HealthCommand: c.command("healthCheckCommand", false), HealthInterval: c.number("healthCheckInterval", false, 1),
			HealthTimeout: c.number("healthCheckTimeout", false, 1), HealthStartPeriod: c.number("healthCheckStartPeriod", false, 1),
			HealthRetries: c.number("healthCheckRetries", false, 1)}
	}
	u.Description = o.text("modelDescription", false)
	if groups := o.texts("allowedGroups"); groups != nil {
		u.Groups = &groups
	}
	if features := o.features(); features != nil {
		u.Features = &features
	}
	u.Guardrails = o.guardrails()
	u.WakeOnRequest = o.flag("wakeOnRequest")
	return u, o.err()
}

// part reads an object that may be absent, but neither null nor without any of its fields.
func (o object) part(name string, fields ...string) (object, bool) {
	if o.null(name) {
		o.breaks(name, "The "+name+" must not be null if defined in request payload.")
		return object{}, false
	}
	c, ok := o.child(name, false)
	if !ok {
		return c, false
	}
	for _, field := range fields {
		if v, there := c.members[field]; there && v.Kind() != 'n' {
			return c, true
		}
	}
	o.breaks(name, "At least one option of "+name+" must be defined.")
	return c, false
}
