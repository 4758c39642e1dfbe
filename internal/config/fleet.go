package config

import "time"

// Fleet is fleet: the model servers that Weir runs itself.
type Fleet struct {
	Host          string         `yaml:"host" default:"process" doc:"where model servers are made: process (this machine), ecs or kube; a model may name another in its host field"`
	ProbeExternal bool           `yaml:"probe_external" default:"true" doc:"make one small call before an external model is InService"`
	WakeTimeout   time.Duration  `yaml:"wake_timeout" default:"5m" doc:"how long calls of a sleeping model (wakeOnRequest) are held while it starts"`
	Deadlines     FleetDeadlines `yaml:"deadlines" doc:"how long a phase of a model's life may take before it has failed"`
	Process       FleetProcess   `yaml:"process" doc:"model servers as processes of this machine"`
}

// FleetDeadlines bound the phases of a hosted model's life.
type FleetDeadlines struct {
	Create time.Duration `yaml:"create" default:"90m" doc:"from POST /models to the first answer"`
	Start  time.Duration `yaml:"start" default:"30m" doc:"from enabled: true to the first answer"`
	Update time.Duration `yaml:"update" default:"30m" doc:"until changed servers answer"`
	Drain  time.Duration `yaml:"drain" default:"2m" doc:"for calls in flight before servers are stopped"`
	Delete time.Duration `yaml:"delete" default:"30m" doc:"until nothing of the model is left"`
}

// FleetProcess is fleet.process.
type FleetProcess struct {
	Profiles map[string]FleetProfile `yaml:"profiles" doc:"how servers are started, by inferenceContainer; they stand beside the built-in vllm, tgi, tei, llamacpp and ollama, or in their place"`
}

// FleetProfile is how the servers of one inferenceContainer are started.
type FleetProfile struct {
	Command []string `yaml:"command" doc:"program and arguments; {port} {model} {modelId} {dir} are filled in, and containerConfig.environment is its environment"`
	Health  string   `yaml:"health" default:"/health" doc:"path that answers 200 when the server is ready; loadBalancerConfig.healthCheckConfig.path wins"`
}
