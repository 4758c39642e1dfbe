package kube

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/fleet"
)

// offline is work of a host that talks to nobody.
func offline(id string, o Options) *work {
	o.NamePrefix, o.WeightsImage, o.Namespace, o.Now, o.Log = "weir", "aws-cli", "weir-models", time.Now, slog.New(slog.DiscardHandler)
	return (&Host{o: o}).work(id, &model{applied: map[string]mark{}})
}

// same holds that an object is what a manifest says.
func same(t *testing.T, manifest string, got any) {
	t.Helper()
	j, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	var want, is any
	if err := yaml.Unmarshal(j, &want); err != nil {
		t.Fatal(err)
	}
	b, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &is); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, is); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestPodTemplate: what runs in a pod is what the contract (lisa.md A.3) says, on nodes of the instance type.
func TestPodTemplate(t *testing.T) {
	w := offline("mistral", Options{ModelsBucket: "weights-bucket", ServiceAccount: "models", PullSecrets: []string{"registry"}, PullPolicy: "IfNotPresent", EnvironmentFrom: "hub"})
	s := spec("mistral", "vllm/vllm-openai:latest")
	s.ContainerConfig.Environment["THREADS"] = "7" // the model's own wins
	same(t, `
metadata:
  annotations: {weir/model-id: mistral}
  labels: {weir/model: weir-mistral-`+w.name[len("weir-mistral-"):]+`, weir/owner: weir, weir/generation: "1", app.kubernetes.io/managed-by: weir}
spec:
  serviceAccountName: models
  imagePullSecrets: [{name: registry}]
  nodeSelector: {node.kubernetes.io/instance-type: g5.xlarge}
  tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
  terminationGracePeriodSeconds: 150
  initContainers:
  - name: weights
    image: aws-cli
    args: [s3, sync, "s3://weights-bucket/mistral/7b", /models/mistral/7b, --exclude, "*.bin", --only-show-errors]
    envFrom: [{secretRef: {name: hub}}]
    volumeMounts: [{name: weights, mountPath: /models}]
  containers:
  - name: model
    image: vllm/vllm-openai:latest
    imagePullPolicy: IfNotPresent
    args: [--model, /models/mistral/7b, --served-model-name, mistral, --host, 0.0.0.0, --port, "8080", --max-model-len, "8192"]
    ports: [{name: http, containerPort: 8080, protocol: TCP}]
    envFrom: [{secretRef: {name: hub}}]
    env:
    - {name: LOCAL_MODEL_PATH, value: /models/mistral/7b}
    - {name: MODEL_NAME, value: mistral}
    - {name: S3_BUCKET_MODELS, value: weights-bucket}
    - {name: S3_MOUNT_POINT, value: /models}
    - {name: SERVICE_NAME, value: `+w.name+`}
    - {name: THREADS, value: "7"}
    - {name: VLLM_MAX_MODEL_LEN, value: "8192"}
    resources:
      requests: {cpu: 3000m, memory: 12288Mi, nvidia.com/gpu: "1"}
      limits: {nvidia.com/gpu: "1"}
    volumeMounts: [{name: shared-memory, mountPath: /dev/shm}, {name: weights, mountPath: /models}]
    readinessProbe: {httpGet: {path: /health, port: http}, periodSeconds: 10, timeoutSeconds: 5, successThreshold: 2, failureThreshold: 3}
    livenessProbe: {exec: {command: [/bin/sh, -c, "curl -f localhost:8080/health"]}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3}
    startupProbe: {exec: {command: [/bin/sh, -c, "curl -f localhost:8080/health"]}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 9}
    lifecycle: {preStop: {sleep: {seconds: 10}}}
  volumes:
  - {name: shared-memory, emptyDir: {medium: Memory, sizeLimit: 2048Mi}}
  - {name: weights, emptyDir: {sizeLimit: 50Gi}}
`, w.podTemplate(s, "model"))
}

// TestPodTemplate_explicit: what a model says of Kubernetes wins over its instance type.
func TestPodTemplate_explicit(t *testing.T) {
	w := offline("m", Options{ModelsClaim: "weights", ServiceAccount: "models"})
	s := spec("m", "registry/own:1")
	two := int64(2)
	s.ContainerConfig.Image.Type, s.ContainerConfig.HealthCheck = "ecr", fleet.ContainerHealth{Command: []any{"NONE"}}
	s.ContainerConfig.Environment, s.LoadBalancer = nil, nil
	s.Kube = &fleet.Kube{GPUs: &two, GPUResource: "amd.com/gpu", CPU: "6", Memory: "40Gi", NodeSelector: map[string]string{"pool": "mi300"},
		Tolerations: []fleet.Toleration{{Key: "pool", Operator: "Equal", Value: "mi300", Effect: "NoExecute"}}, ServiceAccount: "special"}
	same(t, `
serviceAccountName: special
nodeSelector: {pool: mi300}
tolerations: [{key: amd.com/gpu, operator: Exists, effect: NoSchedule}, {key: pool, operator: Equal, value: mi300, effect: NoExecute}]
terminationGracePeriodSeconds: 150
containers:
- name: model
  image: registry/own:1
  ports: [{name: http, containerPort: 8080, protocol: TCP}]
  env:
  - {name: LOCAL_MODEL_PATH, value: /models/mistral/7b}
  - {name: MODEL_NAME, value: m}
  - {name: SERVICE_NAME, value: `+w.name+`}
  - {name: THREADS, value: "2"}
  resources: {requests: {cpu: "6", memory: 40Gi, amd.com/gpu: "2"}, limits: {amd.com/gpu: "2"}}
  volumeMounts: [{name: shared-memory, mountPath: /dev/shm}, {name: weights, mountPath: /models}]
  readinessProbe: {httpGet: {path: /health, port: http}}
  lifecycle: {preStop: {sleep: {seconds: 10}}}
volumes:
- {name: shared-memory, emptyDir: {medium: Memory, sizeLimit: 2048Mi}}
- {name: weights, persistentVolumeClaim: {claimName: weights, readOnly: true}}
`, w.podTemplate(s, "model")["spec"])
}

// TestGroup: of a group of pods each knows its place, and only the first is asked how it is.
func TestGroup(t *testing.T) {
	w := offline("big", Options{})
	s := spec("big", "vllm/vllm-openai:latest")
	s.Kube = &fleet.Kube{Workload: groupWorkload, Size: 3}
	got := group(w, s, "model", 2)
	set := got["leaderWorkerTemplate"].(map[string]any)
	if got["replicas"] != int64(2) || set["size"] != int64(3) {
		t.Errorf("replicas or size: %v", got)
	}
	place := []any{"--model", "mistral/7b", "--served-model-name", "big", "--host", "0.0.0.0", "--port", "8080", "--max-model-len", "8192", "--pipeline-parallel-size", "3", "--nnodes", "3",
		"--node-rank", "$(LWS_WORKER_INDEX)", "--master-addr", "$(LWS_LEADER_ADDRESS)"}
	for role, want := range map[string][]any{"leaderTemplate": place, "workerTemplate": append(place[:len(place):len(place)], "--headless")} {
		main := list(set[role].(map[string]any)["spec"].(map[string]any)["containers"])[0]
		if d := cmp.Diff(want, main["args"]); d != "" {
			t.Errorf("%s (-want +got):\n%s", role, d)
		}
		if (main["readinessProbe"] != nil) != (role == "leaderTemplate") {
			t.Errorf("%s: readiness probe %v", role, main["readinessProbe"])
		}
	}
}

// TestNew: settings that can't be are said at once.
func TestNew(t *testing.T) {
	for what, o := range map[string]Options{
		"no namespace": {},
		"bad prefix":   {Namespace: "models", NamePrefix: "Weir!"},
		"no cluster":   {Namespace: "models", Kubeconfig: filepath.Join(t.TempDir(), "none")},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
