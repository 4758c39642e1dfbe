// Package fleet is the control plane of hosted models: what should exist (Model, kept in SQL), the loop that brings reality to it, one
// lease holder at a time, and the seam behind which model servers are made (Host: a process, ECS, Kubernetes). Level-based: a restart at
// any point continues from what is stored and what the host shows. It is not on the hot path.
package fleet

import (
	"cmp"
	"context"
	"time"
)

// Status is where a model is in its life (contract lisa.md A.2.1).
type Status string

// The statuses.
const (
	Creating  Status = "Creating"
	InService Status = "InService"
	Starting  Status = "Starting"
	Stopping  Status = "Stopping"
	Stopped   Status = "Stopped"
	Updating  Status = "Updating"
	Deleting  Status = "Deleting"
	Failed    Status = "Failed"
)

// Settled reports whether nothing is under way: the only statuses from which a model can be updated are InService and Stopped.
func (s Status) Settled() bool { return s == InService || s == Stopped || s == Failed }

// Definition is what an administrator posts (contract lisa.md A.1.2, CreateModel). Pointers are nil when unset.
type Definition struct {
	ModelID      string    `json:"modelId"`
	ModelName    string    `json:"modelName"`
	Description  *string   `json:"modelDescription"`
	Type         string    `json:"modelType"` // textgen, imagegen, videogen, embedding
	Streaming    bool      `json:"streaming"`
	URL          *string   `json:"modelUrl"`
	Features     []Feature `json:"features,omitzero"`
	Groups       []string  `json:"allowedGroups,omitzero"` // empty: everyone
	HostingType  string    `json:"hostingType"`            // third_party, lisa_hosted, internal_hosted
	Container    *string   `json:"inferenceContainer"`
	InstanceType *string   `json:"instanceType"`

	AutoScaling     *AutoScaling     `json:"autoScalingConfig"`
	ContainerConfig *ContainerConfig `json:"containerConfig"`
	LoadBalancer    *LoadBalancer    `json:"loadBalancerConfig"`

	ContextWindow *int64 `json:"contextWindow"`

	Guardrails map[string]Guardrail `json:"guardrailsConfig,omitzero"` // by the id that the administrator chose

	// Beyond LISA's.
	Host          string `json:"host,omitzero"` // process, ecs or kube; empty: the configured one
	WakeOnRequest bool   `json:"wakeOnRequest,omitzero"`
	Kube          *Kube  `json:"kube,omitempty"`
}

// Kube is what a model on Kubernetes may say beyond the rest: it wins over what follows from the instance type.
type Kube struct {
	Workload       string            `json:"workload,omitzero"`    // deployment, kserve or leaderworkerset; empty: deployment
	Size           int64             `json:"size,omitzero"`        // pods of one server, of a leaderworkerset; 0: 2
	GPUs           *int64            `json:"gpus,omitempty"`       // of each pod
	GPUResource    string            `json:"gpuResource,omitzero"` // empty: nvidia.com/gpu
	CPU            string            `json:"cpu,omitzero"`         // a quantity: "4", "500m"
	Memory         string            `json:"memory,omitzero"`      // a quantity: "64Gi"
	NodeSelector   map[string]string `json:"nodeSelector,omitzero"`
	Tolerations    []Toleration      `json:"tolerations,omitzero"`
	ServiceAccount string            `json:"serviceAccount,omitzero"`
}

// Toleration lets a server run on nodes that keep others away, as Kubernetes says it.
type Toleration struct {
	Key      string `json:"key,omitzero"`
	Operator string `json:"operator,omitzero"` // Exists or Equal
	Value    string `json:"value,omitzero"`
	Effect   string `json:"effect,omitzero"` // NoSchedule, PreferNoSchedule or NoExecute
}

// Hosted reports whether the five hosting fields are all there: Weir makes its servers. Otherwise the model is somewhere already.
func (d *Definition) Hosted() bool {
	return d.AutoScaling != nil && d.ContainerConfig != nil && d.Container != nil && d.InstanceType != nil && d.LoadBalancer != nil
}

// Feature is something a model can do, for people to read.
type Feature struct {
	Name     string `json:"name"`
	Overview string `json:"overview"`
}

// Guardrail is a guardrail of Bedrock that calls of a model pass (contract lisa.md A.1.4).
type Guardrail struct {
	Name        string   `json:"guardrailName"`
	Identifier  string   `json:"guardrailIdentifier"`
	Version     string   `json:"guardrailVersion"`
	Mode        string   `json:"mode"` // pre_call, during_call, post_call
	Description *string  `json:"description"`
	Groups      []string `json:"allowedGroups"` // empty: everyone
}

// AutoScaling says how many servers a hosted model has. Durations are seconds.
type AutoScaling struct {
	BlockDeviceVolumeSize *int64    `json:"blockDeviceVolumeSize,omitempty"` // GiB; nil: 50
	MinCapacity           int64     `json:"minCapacity"`
	MaxCapacity           int64     `json:"maxCapacity"`
	DesiredCapacity       *int64    `json:"desiredCapacity,omitempty"`
	Cooldown              int64     `json:"cooldown"`
	DefaultInstanceWarmup int64     `json:"defaultInstanceWarmup"`
	Metric                Metric    `json:"metricConfig"`
	Scheduling            *Schedule `json:"scheduling,omitempty"`
}

// Metric is what the number of servers follows. Durations are seconds.
type Metric struct {
	Name                    string `json:"albMetricName"`
	TargetValue             int64  `json:"targetValue"`
	Duration                int64  `json:"duration"`
	EstimatedInstanceWarmup int64  `json:"estimatedInstanceWarmup"`
}

// Schedule is when a model runs (contract lisa.md A.1.5).
type Schedule struct {
	Type      string            `json:"scheduleType"` // DAILY or RECURRING
	Timezone  string            `json:"timezone"`
	Daily     map[string]*Hours `json:"dailySchedule,omitempty"` // monday ... sunday
	Recurring *Hours            `json:"recurringSchedule,omitempty"`
}

// Hours is one window, HH:MM to HH:MM; a stop before the start is on the next day.
type Hours struct {
	Start string `json:"startTime"`
	Stop  string `json:"stopTime"`
}

// ContainerConfig is what runs in a server.
type ContainerConfig struct {
	Image             Image             `json:"image"`
	SharedMemorySize  int64             `json:"sharedMemorySize"` // MiB
	HealthCheck       ContainerHealth   `json:"healthCheckConfig"`
	Environment       map[string]string `json:"environment"`
	MemoryReservation *int64            `json:"memoryReservation,omitempty"` // MiB
}

// Image is a container image: type "asset" is built from, "ecr" is as it stands.
type Image struct {
	Base string `json:"baseImage"`
	Type string `json:"type"`
}

// ContainerHealth is the container's own health check. Durations are seconds. Command is one string or, with CMD or CMD-SHELL first, several.
type ContainerHealth struct {
	Command     any   `json:"command"`
	Interval    int64 `json:"interval"`
	StartPeriod int64 `json:"startPeriod"`
	Timeout     int64 `json:"timeout"`
	Retries     int64 `json:"retries"`
}

// LoadBalancer is how servers are probed from outside.
type LoadBalancer struct {
	Health LoadBalancerHealth `json:"healthCheckConfig"`
}

// LoadBalancerHealth is the path that must answer. Durations are seconds.
type LoadBalancerHealth struct {
	Path           string `json:"path"`
	Interval       int64  `json:"interval"`
	Timeout        int64  `json:"timeout"`
	HealthyCount   int64  `json:"healthyThresholdCount"`
	UnhealthyCount int64  `json:"unhealthyThresholdCount"`
}

// Model is one model of the fleet as stored: what it should be and how far it is.
type Model struct {
	Definition
	Status Status `json:"status"`
	Reason string `json:"reason"` // why it is in that status, in the host's own words where it failed
	// Enabled is whether it should run; Delete that it should be gone.
	Enabled bool `json:"enabled"`
	Delete  bool `json:"delete,omitzero"`
	// Generation counts changes of what the servers must be; Observed is the one that runs.
	Generation int64 `json:"generation"`
	Observed   int64 `json:"observed"`
	// Desired is how many servers there should be now, between the limits of AutoScaling; 0 while stopped.
	Desired  int64    `json:"desired"`
	Scaled   int64    `json:"scaled,omitzero"`   // how many there should be by the host's own scaling, which then counts; 0: it has none
	APIKey   string   `json:"api_key,omitzero"`  // sealed
	Replicas []string `json:"replicas,omitzero"` // addresses of servers that answered
	Phase    string   `json:"phase,omitzero"`    // what the reconciler is at
	PhaseAt  int64    `json:"phase_at,omitzero"` // since when, Unix ms
	Version  int64    `json:"-"`                 // for compare-and-swap
	Created  int64    `json:"created"`           // Unix ms
	Updated  int64    `json:"updated"`

	ScheduleState ScheduleState `json:"schedule_state,omitzero"`
}

// Size is how many servers there should be now: as many as the host's own scaling wants, where it has one, else as were asked for.
func (m *Model) Size() int64 { return cmp.Or(m.Scaled, m.Desired) }

// ScheduleState is what became of a model's schedule.
type ScheduleState struct {
	Updated    int64  `json:"updated,omitzero"` // Unix ms
	LastAction string `json:"last_action,omitzero"`
	FailedAt   int64  `json:"failed_at,omitzero"`
	Failure    string `json:"failure,omitzero"`
	Tries      int64  `json:"tries,omitzero"`
	// Held is when an administrator last started or stopped the model, or the schedule gave up: until its next start or stop, the schedule
	// keeps out of it. Unix ms.
	Held int64 `json:"held,omitzero"`
}

// Event is one transition of a model.
type Event struct {
	ModelID string `json:"modelId"`
	At      int64  `json:"at"` // Unix ms
	From    Status `json:"from"`
	To      Status `json:"to"`
	Reason  string `json:"reason"`
}

// Store keeps models. Put is a compare-and-swap on Version: it fails with ErrConflict if another was faster, and advances Version.
// Together with the row it appends the events.
type Store interface {
	Models(ctx context.Context) ([]Model, error)
	Model(ctx context.Context, id string) (*Model, error) // ErrNotFound
	Create(ctx context.Context, m *Model, events ...Event) error
	Put(ctx context.Context, m *Model, events ...Event) error
	Remove(ctx context.Context, m *Model) error
	Events(ctx context.Context, id string, limit int) ([]Event, error)
}

// Spec is what a host must make exist for one model.
type Spec struct {
	Definition
	Generation int64
	Replicas   int64 // wanted now; a host that scales by itself takes it as where to begin whenever it is another
	// Health is the path that answers 200 once a server is ready.
	Health string
}

// Observed is what a host sees of one model.
type Observed struct {
	Generation int64    // of the servers that run
	Servers    []Server // all there are, ready or not
	// Scaled is how many servers there should be by the host's own scaling, which follows the model's metric between its limits; 0: the host
	// leaves the number to the fleet.
	Scaled int64
	// Failure is set when it cannot come about without a change: the host's own words. The reconciler then gives up.
	Failure string
}

// Server is one running model server.
type Server struct {
	ID         string
	URL        string // http://host:port
	Ready      bool   // its health path answered
	Generation int64
	Started    time.Time
}

// Host makes model servers exist. All calls are idempotent and return at once: what takes time is seen in a later Ensure. Safe for
// concurrent use.
type Host interface {
	// Ensure brings the host nearer to the spec and tells what is there. Replicas 0 stops all servers but keeps what is dear to make.
	Ensure(ctx context.Context, s Spec) (Observed, error)
	// Delete removes everything of a model; gone is true when nothing is left.
	Delete(ctx context.Context, modelID string) (gone bool, err error)
	// List names the models of which the host holds anything, for finding orphans.
	List(ctx context.Context) ([]string, error)
	// Logs are the last lines its servers wrote, oldest first.
	Logs(ctx context.Context, modelID string, lines int) ([]string, error)
}
