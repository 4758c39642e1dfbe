package kube

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/stock"
)

const (
	port      = 8080
	modelsDir = "/models"
	weights   = "weights"       // the volume of the weights, and the container that copies them
	shm       = "shared-memory" // the volume of /dev/shm

	instanceLabel = "node.kubernetes.io/instance-type"
	nvidia        = "nvidia.com/gpu"

	// A pod that is told to end still gets calls until the gateway has seen it, and then finishes those it has. Seconds.
	leaveAfter = 10
	endWithin  = 150
)

// podTemplate is a pod of the spec, its server's container under that name.
func (w *work) podTemplate(spec fleet.Spec, container string) map[string]any {
	c, k := spec.ContainerConfig, w.explicit(spec)
	mounts := []any{map[string]any{"name": shm, "mountPath": "/dev/shm"}}
	shared := map[string]any{"medium": "Memory"}
	if c.SharedMemorySize > 0 {
		shared["sizeLimit"] = mebibytes(c.SharedMemorySize)
	}
	volumes := []any{map[string]any{"name": shm, "emptyDir": shared}}
	main := map[string]any{
		"name": container, "image": c.Image.Base, "ports": []any{map[string]any{"name": "http", "containerPort": int64(port), "protocol": "TCP"}},
		"resources": w.resources(spec), "env": w.environment(spec),
		"lifecycle": map[string]any{"preStop": map[string]any{"sleep": map[string]any{"seconds": int64(leaveAfter)}}},
	}
	maps.Copy(main, probes(spec))
	out := map[string]any{"terminationGracePeriodSeconds": int64(endWithin)}
	if w.o.ModelsClaim != "" || w.copies(spec) {
		mounts = append(mounts, map[string]any{"name": weights, "mountPath": modelsDir})
		volume := map[string]any{"name": weights, "emptyDir": map[string]any{"sizeLimit": strconv.FormatInt(stock.Disk(&spec.Definition), 10) + "Gi"}}
		if w.o.ModelsClaim != "" {
			volume = map[string]any{"name": weights, "persistentVolumeClaim": map[string]any{"claimName": w.o.ModelsClaim, "readOnly": true}}
		}
		volumes = append(volumes, volume)
	}
	main["volumeMounts"] = mounts
	if w.copies(spec) {
		out["initContainers"] = []any{map[string]any{
			"name": weights, "image": w.o.WeightsImage, "volumeMounts": []any{map[string]any{"name": weights, "mountPath": modelsDir}},
			"args": texts("s3", "sync", "s3://"+w.o.ModelsBucket+"/"+spec.ModelName, w.path(spec), "--exclude", "*.bin", "--only-show-errors"),
		}}
	}
	if w.o.EnvironmentFrom != "" {
		from := []any{map[string]any{"secretRef": map[string]any{"name": w.o.EnvironmentFrom}}}
		main["envFrom"] = from
		for _, init := range list(out["initContainers"]) {
			init["envFrom"] = from
		}
	}
	if stocked(spec) {
		if args := stock.Command(&spec.Definition, w.path(spec), port); args != nil {
			main["args"] = texts(args...)
		}
	}
	if w.o.PullPolicy != "" {
		main["imagePullPolicy"] = w.o.PullPolicy
	}
	var secrets []any
	for _, s := range w.o.PullSecrets {
		secrets = append(secrets, map[string]any{"name": s})
	}
	if secrets != nil {
		out["imagePullSecrets"] = secrets
	}
	if account := cmp.Or(k.ServiceAccount, w.o.ServiceAccount); account != "" {
		out["serviceAccountName"] = account
	}
	out["containers"], out["volumes"] = []any{main}, volumes
	place(out, spec, k)
	return map[string]any{"metadata": map[string]any{"labels": w.generationLabels(spec.Generation), "annotations": map[string]any{annotationModel: w.id}}, "spec": out}
}

// explicit is what the model says of Kubernetes itself.
func (w *work) explicit(spec fleet.Spec) fleet.Kube {
	if spec.Kube == nil {
		return fleet.Kube{}
	}
	return *spec.Kube
}

// place puts the pods on nodes of the instance type, unless the model names the nodes itself, and lets them be where GPUs are kept for those
// that need them.
func place(pod map[string]any, spec fleet.Spec, k fleet.Kube) {
	selector := map[string]any{}
	for name, v := range k.NodeSelector {
		selector[name] = v
	}
	if len(selector) == 0 && spec.InstanceType != nil && *spec.InstanceType != "" {
		selector[instanceLabel] = *spec.InstanceType
	}
	if len(selector) > 0 {
		pod["nodeSelector"] = selector
	}
	var tolerations []any
	if gpus(spec) > 0 {
		tolerations = append(tolerations, map[string]any{"key": cmp.Or(k.GPUResource, nvidia), "operator": "Exists", "effect": "NoSchedule"})
	}
	for _, t := range k.Tolerations {
		one := map[string]any{}
		for name, v := range map[string]string{"key": t.Key, "operator": t.Operator, "value": t.Value, "effect": t.Effect} {
			if v != "" {
				one[name] = v
			}
		}
		tolerations = append(tolerations, one)
	}
	if tolerations != nil {
		pod["tolerations"] = tolerations
	}
}

// stocked reports whether the image is a stock one, which is told what to serve.
func stocked(spec fleet.Spec) bool { return spec.ContainerConfig.Image.Type != "ecr" }

// copies reports whether an init container brings the weights.
func (w *work) copies(spec fleet.Spec) bool {
	return stocked(spec) && w.o.ModelsBucket != "" && w.o.ModelsClaim == ""
}

// path is where the server finds its weights: where they are brought or mounted, else it is told the model's name and gets them itself.
func (w *work) path(spec fleet.Spec) string {
	if w.o.ModelsClaim == "" && w.o.ModelsBucket == "" {
		return spec.ModelName
	}
	return modelsDir + "/" + strings.Trim(spec.ModelName, "/")
}

// gpus is how many GPUs a pod has.
func gpus(spec fleet.Spec) int64 {
	if spec.Kube != nil && spec.Kube.GPUs != nil {
		return *spec.Kube.GPUs
	}
	return machine(spec).GPUs
}

// machine is the instance type's; nothing is known of one that is not a usual one.
func machine(spec fleet.Spec) stock.Machine {
	if spec.InstanceType == nil {
		return stock.Machine{}
	}
	m, _ := stock.MachineOf(*spec.InstanceType) // unknown: nothing is asked for
	return m
}

// resources are what a pod asks for: of a machine's processors and memory three quarters, so that it has the machine to itself and leaves the
// node's own programs what they need; all of its GPUs; or what the model says.
func (w *work) resources(spec fleet.Spec) map[string]any {
	m, k := machine(spec), w.explicit(spec)
	requests, limits := map[string]any{}, map[string]any{}
	if m.VCPUs > 0 {
		requests["cpu"] = strconv.FormatInt(m.VCPUs*750, 10) + "m"
	}
	if m.Memory > 0 {
		requests["memory"] = mebibytes(m.Memory * 3 / 4)
	}
	if n := spec.ContainerConfig.MemoryReservation; n != nil && *n > 0 {
		requests["memory"] = mebibytes(*n)
	}
	if k.CPU != "" {
		requests["cpu"] = k.CPU
	}
	if k.Memory != "" {
		requests["memory"] = k.Memory
	}
	out := map[string]any{}
	if n := gpus(spec); n > 0 {
		resource := cmp.Or(k.GPUResource, nvidia)
		requests[resource], limits[resource] = strconv.FormatInt(n, 10), strconv.FormatInt(n, 10)
		out["limits"] = limits
	}
	if len(requests) > 0 {
		out["requests"] = requests
	}
	return out
}

// environment is what is always set (contract lisa.md A.3), overridden by the model's own.
func (w *work) environment(spec fleet.Spec) []any {
	name := stock.ServedName(&spec.Definition)
	env := map[string]string{"LOCAL_MODEL_PATH": w.path(spec), "MODEL_NAME": name, "SERVICE_NAME": w.name}
	if w.o.ModelsBucket != "" {
		env["S3_BUCKET_MODELS"], env["S3_MOUNT_POINT"] = w.o.ModelsBucket, modelsDir
	}
	if n := machine(spec).VCPUs; n > 0 {
		env["THREADS"] = strconv.FormatInt((n+1)/2, 10)
	}
	if stock.Container(&spec.Definition) == "tei" {
		env["SERVED_MODEL_NAME"] = name
	}
	maps.Copy(env, spec.ContainerConfig.Environment)
	var out []any
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, map[string]any{"name": k, "value": env[k]})
	}
	return out
}

// probes: the pod is ready while its health path answers, as loadBalancerConfig says; its container is started again when its own check
// (containerConfig.healthCheckConfig) fails, which counts only after the start.
func probes(spec fleet.Spec) map[string]any {
	ready := map[string]any{"httpGet": map[string]any{"path": cmp.Or(spec.Health, "/health"), "port": "http"}}
	out := map[string]any{"readinessProbe": ready}
	if lb := spec.LoadBalancer; lb != nil {
		timing(ready, lb.Health.Interval, lb.Health.Timeout, lb.Health.UnhealthyCount)
		if lb.Health.HealthyCount > 1 {
			ready["successThreshold"] = lb.Health.HealthyCount
		}
	}
	c := spec.ContainerConfig.HealthCheck
	command := stock.HealthCommand(c)
	switch {
	case len(command) > 1 && command[0] == "CMD-SHELL":
		command = []string{"/bin/sh", "-c", strings.Join(command[1:], " ")}
	case len(command) > 1 && command[0] == "CMD":
		command = command[1:]
	case len(command) == 0 || command[0] == "CMD" || command[0] == "CMD-SHELL" || command[0] == "NONE":
		return out
	}
	alive, started := map[string]any{"exec": map[string]any{"command": texts(command...)}}, map[string]any{"exec": map[string]any{"command": texts(command...)}}
	timing(alive, c.Interval, c.Timeout, c.Retries)
	grace, interval := c.StartPeriod, max(c.Interval, 1)
	if spec.AutoScaling != nil {
		grace = max(grace, spec.AutoScaling.Metric.EstimatedInstanceWarmup)
	}
	timing(started, c.Interval, c.Timeout, (grace+interval-1)/interval+max(c.Retries, 1))
	out["livenessProbe"], out["startupProbe"] = alive, started
	return out
}

// timing sets what is said; seconds.
func timing(probe map[string]any, interval, timeout, failures int64) {
	for name, n := range map[string]int64{"periodSeconds": interval, "timeoutSeconds": timeout, "failureThreshold": failures} {
		if n > 0 {
			probe[name] = n
		}
	}
}

func mebibytes(n int64) string { return strconv.FormatInt(n, 10) + "Mi" }

func texts(all ...string) []any {
	out := make([]any, len(all))
	for i, s := range all {
		out[i] = s
	}
	return out
}

// list is the objects in a list.
func list(v any) []map[string]any {
	var out []map[string]any
	all, _ := v.([]any) // of another type: none
	for _, one := range all {
		if m, ok := one.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}
