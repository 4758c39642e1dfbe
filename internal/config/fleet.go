package config

import "time"

// Fleet is fleet: the model servers that Weir runs itself.
type Fleet struct {
	Host          string         `yaml:"host" start:"true" default:"process" doc:"where model servers are made: process (this machine), ecs or kube; a model may name another in its host field"`
	ProbeExternal bool           `yaml:"probe_external" start:"true" default:"true" doc:"make one small call before an external model is InService"`
	WakeTimeout   time.Duration  `yaml:"wake_timeout" default:"5m" doc:"how long calls of a sleeping model (wakeOnRequest) are held while it starts"`
	Deadlines     FleetDeadlines `yaml:"deadlines" start:"true" doc:"how long a phase of a model's life may take before it has failed"`
	Process       FleetProcess   `yaml:"process" start:"true" doc:"model servers as processes of this machine"`
	ECS           FleetECS       `yaml:"ecs" start:"true" doc:"model servers as services of Amazon ECS; credentials are those of the environment"`
	Kube          FleetKube      `yaml:"kube" start:"true" doc:"model servers on Kubernetes"`
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

// FleetECS is fleet.ecs.
type FleetECS struct {
	Cluster            string        `yaml:"cluster" doc:"cluster the services run in; empty: there is no ecs host"`
	Region             string        `yaml:"region" doc:"empty: AWS_REGION"`
	EndpointURL        string        `yaml:"endpoint_url" doc:"address of AWS's APIs; empty: AWS's own"`
	Launch             string        `yaml:"launch" default:"ec2" oneof:"ec2,fargate" doc:"ec2: every model on instances of its instanceType; fargate: models of instance types without GPUs on Fargate, with as many vCPUs and as much memory"`
	Subnets            []string      `yaml:"subnets" doc:"private subnets of tasks, instances and load balancers; required"`
	SecurityGroups     []string      `yaml:"security_groups" doc:"security groups of the same; they must let this gateway reach the load balancer's port and the load balancer reach port 8080; required"`
	LoadBalancerARN    string        `yaml:"load_balancer_arn" doc:"internal load balancer that all models share, with a rule for each; empty: one is made for each model"`
	ListenerPort       int64         `yaml:"listener_port" default:"80" doc:"port of the load balancer"`
	Domain             string        `yaml:"domain" doc:"models on a shared load balancer are told apart by host, <name>.<domain>, for which there is a wildcard record; empty: by path, which the load balancer takes off again"`
	ExecutionRoleARN   string        `yaml:"execution_role_arn" doc:"role that pulls images and writes logs"`
	TaskRoleARN        string        `yaml:"task_role_arn" doc:"role of the servers; it must be able to read the models bucket"`
	InstanceProfileARN string        `yaml:"instance_profile_arn" doc:"instance profile of EC2 capacity, with AmazonEC2ContainerServiceforEC2Role"`
	AMI                string        `yaml:"ami" doc:"image of the instances; empty: AWS's newest for ECS, with GPU drivers where the instance has GPUs"`
	ModelsBucket       string        `yaml:"models_bucket" doc:"bucket of the weights: the prefix modelName is copied to the server first, unless its image is of type ecr and does so itself"`
	WeightsImage       string        `yaml:"weights_image" default:"public.ecr.aws/aws-cli/aws-cli:latest" doc:"image with the AWS CLI that copies the weights"`
	Scaling            string        `yaml:"scaling" default:"metric" oneof:"metric,weir" doc:"metric: the service follows metricConfig between its limits; weir: it has as many servers as the calls in flight want"`
	LogGroupPrefix     string        `yaml:"log_group_prefix" default:"/weir/models/" doc:"where log groups are"`
	NamePrefix         string        `yaml:"name_prefix" default:"weir" doc:"begins every name and marks what is this gateway's; at most 10 of a-z, 0-9 and -"`
	Every              time.Duration `yaml:"every" default:"5s" doc:"how often AWS is asked about a model at most"`
}

// FleetKube is fleet.kube.
type FleetKube struct {
	Namespace       string        `yaml:"namespace" doc:"namespace of everything that is made, made itself if that is allowed; empty: there is no kube host"`
	Kubeconfig      string        `yaml:"kubeconfig" doc:"file that says how the cluster is reached; empty: KUBECONFIG, else ~/.kube/config, else the service account of Weir's own pod"`
	Context         string        `yaml:"context" doc:"context of the kubeconfig; empty: its current one"`
	ServiceAccount  string        `yaml:"service_account" doc:"service account of the servers; empty: the namespace's default"`
	PullSecrets     []string      `yaml:"image_pull_secrets" doc:"secrets of the registries that images come from"`
	PullPolicy      string        `yaml:"image_pull_policy" oneof:"Always,IfNotPresent,Never" doc:"when images are pulled; empty: the cluster's usual"`
	EnvironmentFrom string        `yaml:"environment_from" doc:"secret whose keys are in the environment of every server, HF_TOKEN for example"`
	ModelsBucket    string        `yaml:"models_bucket" doc:"S3 bucket of the weights: the prefix modelName is copied to the server first, unless its image is of type ecr and does so itself"`
	WeightsImage    string        `yaml:"weights_image" default:"public.ecr.aws/aws-cli/aws-cli:latest" doc:"image with the AWS CLI that copies the weights"`
	ModelsClaim     string        `yaml:"models_claim" doc:"PersistentVolumeClaim of the weights, which servers mount at /models instead of copying them"`
	Scaling         string        `yaml:"scaling" default:"weir" oneof:"weir,metric" doc:"weir: a model has as many servers as the calls in flight want; metric: a HorizontalPodAutoscaler, or KEDA, makes it follow metricConfig between its limits"`
	Prometheus      string        `yaml:"prometheus" doc:"address of the Prometheus that KEDA asks for the metric; empty: a HorizontalPodAutoscaler is used even where there is KEDA"`
	NamePrefix      string        `yaml:"name_prefix" default:"weir" doc:"begins every name and marks what is this gateway's; at most 10 of a-z, 0-9 and -"`
	Patience        time.Duration `yaml:"patience" default:"2m" doc:"how long what may pass by itself is borne before a model has failed: pulls that fail, crashes, refused pods"`
	Deadline        time.Duration `yaml:"deadline" default:"30m" doc:"how long a pod may take to be ready before its model has failed: a node may have to be made for it first"`
	Every           time.Duration `yaml:"every" default:"2s" doc:"how often the cluster is asked about a model at most"`
}
