package ecs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/stock"
)

const (
	container = "model"   // the name of the container that serves
	weights   = "weights" // of the one that copies the weights first
	port      = 8080
	modelsDir = "/models"
	hostSpare = 2048 // MiB of an instance that its own programs need
	logDays   = 30
)

// logGroups is an answer that lists some, from where another call goes on.
type logGroups struct {
	All []struct {
		ARN       string `json:"arn"`
		Name      string `json:"logGroupName"`
		Retention int64  `json:"retentionInDays"` // 0: for ever
	} `json:"logGroups"`
	NextToken string `json:"nextToken"`
}

// logGroup makes where the servers write. It is the first thing that is made and the last that goes, so that nothing exists unlisted.
func (w *work) logGroup(ctx context.Context) error {
	var out logGroups
	if err := w.call(ctx, logsAPI, "DescribeLogGroups", params{"logGroupNamePrefix": w.group()}, &out); err != nil {
		return fmt.Errorf("log groups: %w", err)
	}
	for _, g := range out.All {
		if g.Name == w.group() && g.Retention != 0 {
			return nil
		}
	}
	err := w.call(ctx, logsAPI, "CreateLogGroup", params{"logGroupName": w.group(), "tags": w.tags()}, nil)
	if err != nil && !is(err, "ResourceAlreadyExistsException") {
		return asked("log group", err)
	}
	return asked("log group", w.call(ctx, logsAPI, "PutRetentionPolicy", params{"logGroupName": w.group(), "retentionInDays": logDays}, nil))
}

// definitionOf finds a task definition by its ARN, or the newest that is active of a family; the ARN is empty if there is none, and the
// generation 0 if it is not ours.
func (w *work) definitionOf(ctx context.Context, name string) (arn string, generation int64, active bool, err error) {
	var out struct {
		Definition struct {
			ARN    string `json:"taskDefinitionArn"`
			Status string `json:"status"`
		} `json:"taskDefinition"`
		Tags []tag `json:"tags"`
	}
	err = w.call(ctx, ecsAPI, "DescribeTaskDefinition", params{"taskDefinition": name, "include": []string{"TAGS"}}, &out)
	if is(err, "ClientException", "TaskDefinitionNotFoundException") { // the first is said of a family without an active revision
		return "", 0, false, nil
	}
	if err != nil {
		return "", 0, false, fmt.Errorf("task definition: %w", err)
	}
	generation, _ = strconv.ParseInt(ecsTag(out.Tags, tagGeneration), 10, 64) // of a foreign one: 0
	return out.Definition.ARN, generation, out.Definition.Status == statusActive, nil
}

// task gives the task definition of a generation, made if there is none.
func (w *work) task(ctx context.Context, spec fleet.Spec, kind machine) (string, error) {
	arn, generation, active, err := w.definitionOf(ctx, w.name)
	if err != nil || active && generation == spec.Generation {
		return arn, err
	}
	var made struct {
		Definition struct {
			ARN string `json:"taskDefinitionArn"`
		} `json:"taskDefinition"`
	}
	if err := w.call(ctx, ecsAPI, "RegisterTaskDefinition", w.definition(spec, kind), &made); err != nil {
		return "", asked("task definition", err)
	}
	return made.Definition.ARN, nil
}

// generation tells of which generation a task definition is; 0: it is not ours, or gone.
func (w *work) generation(ctx context.Context, arn string) (int64, error) {
	w.mu.Lock()
	n, ok := w.generations[arn]
	w.mu.Unlock()
	if ok {
		return n, nil
	}
	found, n, _, err := w.definitionOf(ctx, arn)
	if err != nil || found == "" {
		return 0, err
	}
	w.mu.Lock()
	w.generations[arn] = n
	w.mu.Unlock()
	return n, nil
}

// forget drops what was known of task definitions that are deleted.
func (w *work) forget(arns []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, arn := range arns {
		delete(w.generations, arn)
	}
}

// definition is what runs in a task of the spec.
func (w *work) definition(spec fleet.Spec, kind machine) params {
	c := spec.ContainerConfig
	logTo := params{"logDriver": "awslogs", "options": map[string]string{
		"awslogs-group": w.group(), "awslogs-region": w.o.Region, "awslogs-stream-prefix": "g" + strconv.FormatInt(spec.Generation, 10)}}
	mounts := []params{{"sourceVolume": weights, "containerPath": modelsDir}}
	one := params{
		"name": container, "image": c.Image.Base, "essential": true, "logConfiguration": logTo, "mountPoints": mounts,
		"portMappings": []params{{"containerPort": port, "protocol": "tcp"}},
	}
	if check := healthCheck(c.HealthCheck); check != nil {
		one["healthCheck"] = check
	}
	env := []params{}
	values := w.environment(spec, kind)
	for _, k := range slices.Sorted(maps.Keys(values)) {
		env = append(env, params{"name": k, "value": values[k]})
	}
	one["environment"] = env
	if kind.gpus > 0 {
		one["resourceRequirements"] = []params{{"type": "GPU", "value": strconv.FormatInt(kind.gpus, 10)}}
	}
	in := params{"family": w.name, "networkMode": "awsvpc", "tags": w.ecsTags(spec.Generation), "volumes": []params{{"name": weights}}}
	for name, role := range map[string]string{"executionRoleArn": w.o.ExecutionRoleARN, "taskRoleArn": w.o.TaskRoleARN} {
		if role != "" {
			in[name] = role
		}
	}
	all := []params{one}
	if c.Image.Type != "ecr" { // a stock image: it is told what to serve, and its weights are brought to it
		if words := stock.Command(&spec.Definition, localPath(spec), port); words != nil {
			one["command"] = words
		}
		if w.o.ModelsBucket != "" {
			one["dependsOn"] = []params{{"containerName": weights, "condition": "SUCCESS"}}
			all = append(all, params{
				"name": weights, "image": w.o.WeightsImage, "essential": false, "logConfiguration": logTo, "memoryReservation": 64, "mountPoints": mounts,
				"command": []string{"s3", "sync", "s3://" + w.o.ModelsBucket + "/" + spec.ModelName, localPath(spec), "--exclude", "*.bin", "--only-show-errors"},
			})
		}
	}
	in["containerDefinitions"] = all
	if kind.fargate {
		cpu, memory := kind.fargateSize()
		in["requiresCompatibilities"] = []string{"FARGATE"}
		in["cpu"], in["memory"] = strconv.FormatInt(cpu, 10), strconv.FormatInt(memory, 10)
		if kind.arm {
			in["runtimePlatform"] = params{"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}
		}
		if size := stock.Disk(&spec.Definition); size > 20 { // what every task has
			in["ephemeralStorage"] = params{"sizeInGiB": min(size, 200)}
		}
		return in
	}
	in["requiresCompatibilities"] = []string{"EC2"}
	if kind.memory > 0 { // the bound of a container on an instance: everything the machine has
		for _, c := range all {
			c["memory"] = kind.memory
		}
	}
	reserve := kind.memory - hostSpare
	if c.MemoryReservation != nil && *c.MemoryReservation > 0 {
		reserve = *c.MemoryReservation
	}
	one["memoryReservation"] = max(min(reserve, kind.memory), 128)
	one["linuxParameters"] = params{"sharedMemorySize": c.SharedMemorySize, "initProcessEnabled": true}
	return in
}

func localPath(spec fleet.Spec) string { return modelsDir + "/" + strings.Trim(spec.ModelName, "/") }

// environment is what is always set (contract lisa.md A.3), overridden by the model's own.
func (w *work) environment(spec fleet.Spec, kind machine) map[string]string {
	name := stock.ServedName(&spec.Definition)
	env := map[string]string{
		"LOCAL_MODEL_PATH": localPath(spec), "S3_BUCKET_MODELS": w.o.ModelsBucket, "S3_MOUNT_POINT": modelsDir, "MODEL_NAME": name, "AWS_REGION": w.o.Region,
		"CLUSTER_NAME": clusterName(w.o.Cluster), "SERVICE_NAME": w.name, "THREADS": strconv.FormatInt((kind.vcpus+1)/2, 10),
	}
	if stock.Container(&spec.Definition) == "tei" {
		env["SERVED_MODEL_NAME"] = name
	}
	maps.Copy(env, spec.ContainerConfig.Environment)
	return env
}

// healthCheck is the container's own, within what ECS takes.
func healthCheck(c fleet.ContainerHealth) params {
	cmd := stock.HealthCommand(c)
	if len(cmd) == 0 {
		return nil
	}
	return params{"command": cmd, "interval": within(c.Interval, 5, 300), "timeout": within(c.Timeout, 2, 60), "retries": within(c.Retries, 1, 10), "startPeriod": within(c.StartPeriod, 0, 300)}
}

func within(v, low, high int64) int64 { return min(max(v, low), high) }
