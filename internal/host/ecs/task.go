package ecs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/weir-gateway/weir/internal/fleet"
)

const (
	container = "model"   // the name of the container that serves
	weights   = "weights" // of the one that copies the weights first
	port      = 8080
	modelsDir = "/models"
	hostSpare = 2048 // MiB of an instance that its own programs need
	logDays   = 30
)

// logGroup makes where the servers write. It is the first thing that is made and the last that goes, so that nothing exists unlisted.
func (w *work) logGroup(ctx context.Context) error {
	out, err := w.logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String(w.group())})
	if err != nil {
		return fmt.Errorf("log groups: %w", err)
	}
	for _, g := range out.LogGroups {
		if aws.ToString(g.LogGroupName) == w.group() && g.RetentionInDays != nil {
			return nil
		}
	}
	_, err = w.logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(w.group()), Tags: w.tags()})
	if err != nil && !is(err, "ResourceAlreadyExistsException") {
		return asked("log group", err)
	}
	_, err = w.logs.PutRetentionPolicy(ctx, &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String(w.group()), RetentionInDays: aws.Int32(logDays)})
	return asked("log group", err)
}

// task gives the task definition of a generation, made if there is none.
func (w *work) task(ctx context.Context, spec fleet.Spec, kind machine) (string, error) {
	out, err := w.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String(w.name), Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags}})
	// A family without an active revision is a ClientException.
	if err != nil && !is(err, "ClientException", "TaskDefinitionNotFoundException") {
		return "", fmt.Errorf("task definition: %w", err)
	}
	if err == nil && out.TaskDefinition.Status == types.TaskDefinitionStatusActive && ecsTag(out.Tags, tagGeneration) == strconv.FormatInt(spec.Generation, 10) {
		return aws.ToString(out.TaskDefinition.TaskDefinitionArn), nil
	}
	made, err := w.ecs.RegisterTaskDefinition(ctx, w.definition(spec, kind))
	if err != nil {
		return "", asked("task definition", err)
	}
	return aws.ToString(made.TaskDefinition.TaskDefinitionArn), nil
}

// generation tells of which generation a task definition is; 0: it is not ours.
func (w *work) generation(ctx context.Context, arn string) (int64, error) {
	w.mu.Lock()
	n, ok := w.generations[arn]
	w.mu.Unlock()
	if ok {
		return n, nil
	}
	out, err := w.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String(arn), Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags}})
	if is(err, "ClientException", "TaskDefinitionNotFoundException") {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("task definition: %w", err)
	}
	n, _ = strconv.ParseInt(ecsTag(out.Tags, tagGeneration), 10, 64) // of a foreign one: 0
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
func (w *work) definition(spec fleet.Spec, kind machine) *ecs.RegisterTaskDefinitionInput {
	c := spec.ContainerConfig
	logTo := &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{
		"awslogs-group": w.group(), "awslogs-region": w.o.Region, "awslogs-stream-prefix": "g" + strconv.FormatInt(spec.Generation, 10)}}
	one := types.ContainerDefinition{
		Name: aws.String(container), Image: aws.String(c.Image.Base), Essential: aws.Bool(true), LogConfiguration: logTo,
		PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(port), Protocol: types.TransportProtocolTcp}},
		HealthCheck:  healthCheck(c.HealthCheck),
		MountPoints:  []types.MountPoint{{SourceVolume: aws.String(weights), ContainerPath: aws.String(modelsDir)}},
	}
	env := w.environment(spec, kind)
	for _, k := range slices.Sorted(maps.Keys(env)) {
		one.Environment = append(one.Environment, types.KeyValuePair{Name: aws.String(k), Value: aws.String(env[k])})
	}
	if kind.gpus > 0 {
		one.ResourceRequirements = []types.ResourceRequirement{{Type: types.ResourceTypeGpu, Value: aws.String(strconv.FormatInt(kind.gpus, 10))}}
	}
	var all *int32 // the bound of a container on an instance: everything the machine has
	if !kind.fargate && kind.memory > 0 {
		all = aws.Int32(int32(kind.memory))
	}
	in := &ecs.RegisterTaskDefinitionInput{
		Family: aws.String(w.name), NetworkMode: types.NetworkModeAwsvpc, Tags: w.ecsTags(spec.Generation),
		ExecutionRoleArn: role(w.o.ExecutionRoleARN), TaskRoleArn: role(w.o.TaskRoleARN), Volumes: []types.Volume{{Name: aws.String(weights)}},
	}
	if kind.fargate {
		cpu, memory := kind.fargateSize()
		in.RequiresCompatibilities = []types.Compatibility{types.CompatibilityFargate}
		in.Cpu, in.Memory = aws.String(strconv.FormatInt(cpu, 10)), aws.String(strconv.FormatInt(memory, 10))
		if kind.arm {
			in.RuntimePlatform = &types.RuntimePlatform{CpuArchitecture: types.CPUArchitectureArm64, OperatingSystemFamily: types.OSFamilyLinux}
		}
		if size := volume(&spec.Definition); size > 20 { // what every task has
			in.EphemeralStorage = &types.EphemeralStorage{SizeInGiB: min(size, 200)}
		}
	} else {
		in.RequiresCompatibilities = []types.Compatibility{types.CompatibilityEc2}
		reserve := kind.memory - hostSpare
		if c.MemoryReservation != nil && *c.MemoryReservation > 0 {
			reserve = *c.MemoryReservation
		}
		one.Memory, one.MemoryReservation = all, aws.Int32(int32(max(min(reserve, kind.memory), 128)))
		one.LinuxParameters = &types.LinuxParameters{SharedMemorySize: aws.Int32(int32(c.SharedMemorySize)), InitProcessEnabled: aws.Bool(true)}
	}
	in.ContainerDefinitions = []types.ContainerDefinition{one}
	if c.Image.Type != "ecr" { // a stock image: it is told what to serve, and its weights are brought to it
		main := &in.ContainerDefinitions[0]
		main.Command = command(spec)
		if w.o.ModelsBucket != "" {
			main.DependsOn = []types.ContainerDependency{{ContainerName: aws.String(weights), Condition: types.ContainerConditionSuccess}}
			in.ContainerDefinitions = append(in.ContainerDefinitions, types.ContainerDefinition{
				Name: aws.String(weights), Image: aws.String(w.o.WeightsImage), Essential: aws.Bool(false), LogConfiguration: logTo, Memory: all, MemoryReservation: aws.Int32(64),
				Command:     []string{"s3", "sync", "s3://" + w.o.ModelsBucket + "/" + spec.ModelName, localPath(spec), "--exclude", "*.bin", "--only-show-errors"},
				MountPoints: []types.MountPoint{{SourceVolume: aws.String(weights), ContainerPath: aws.String(modelsDir)}},
			})
		}
	}
	return in
}

func role(arn string) *string {
	if arn == "" {
		return nil
	}
	return &arn
}

func localPath(spec fleet.Spec) string { return modelsDir + "/" + strings.Trim(spec.ModelName, "/") }

// environment is what is always set (contract lisa.md A.3), overridden by the model's own.
func (w *work) environment(spec fleet.Spec, kind machine) map[string]string {
	// The name that the model's server answers to is the one that the gateway calls it by.
	name := spec.ModelName
	if containerKind(spec) == "vllm" {
		name = spec.ModelID
	}
	env := map[string]string{
		"LOCAL_MODEL_PATH": localPath(spec), "S3_BUCKET_MODELS": w.o.ModelsBucket, "S3_MOUNT_POINT": modelsDir, "MODEL_NAME": name, "AWS_REGION": w.o.Region,
		"CLUSTER_NAME": clusterName(w.o.Cluster), "SERVICE_NAME": w.name, "THREADS": strconv.FormatInt((kind.vcpus+1)/2, 10),
	}
	if containerKind(spec) == "tei" {
		env["SERVED_MODEL_NAME"] = name
	}
	maps.Copy(env, spec.ContainerConfig.Environment)
	return env
}

func containerKind(spec fleet.Spec) string {
	if spec.Container == nil {
		return ""
	}
	return *spec.Container
}

// vllmFlags are the variables that become flags of vLLM's server: VLLM_MAX_MODEL_LEN is --max-model-len.
var vllmFlags = []string{"GPU_MEMORY_UTILIZATION", "MAX_MODEL_LEN", "MAX_NUM_BATCHED_TOKENS", "MAX_NUM_SEQS", "ENABLE_PREFIX_CACHING", "ENABLE_CHUNKED_PREFILL", "DTYPE",
	"TENSOR_PARALLEL_SIZE", "QUANTIZATION", "TRUST_REMOTE_CODE", "ENABLE_AUTO_TOOL_CHOICE", "TOOL_CALL_PARSER", "REASONING_PARSER", "REASONING_PARSER_PLUGIN", "ASYNC_SCHEDULING",
	"MAX_PARALLEL_LOADING_WORKERS"}

// command is what a stock image is started with.
func command(spec fleet.Spec) []string {
	path := localPath(spec)
	switch containerKind(spec) {
	case "vllm":
		out := []string{"--model", path, "--served-model-name", spec.ModelID, "--host", "0.0.0.0", "--port", strconv.Itoa(port)}
		env := maps.Clone(spec.ContainerConfig.Environment)
		if v := env["MAX_TOTAL_TOKENS"]; v != "" && env["VLLM_MAX_MODEL_LEN"] == "" {
			env["VLLM_MAX_MODEL_LEN"] = v
		}
		for _, f := range vllmFlags {
			flag := "--" + strings.ReplaceAll(strings.ToLower(f), "_", "-")
			switch v := env["VLLM_"+f]; strings.ToLower(v) {
			case "", "false":
			case "true":
				out = append(out, flag)
			default:
				out = append(out, flag, v)
			}
		}
		return out
	case "tgi", "tei":
		return []string{"--model-id", path, "--port", strconv.Itoa(port), "--json-output"}
	case "llamacpp":
		return []string{"--model", path, "--alias", spec.ModelID, "--host", "0.0.0.0", "--port", strconv.Itoa(port)}
	}
	return nil
}

// healthCheck is the container's own, within what ECS takes.
func healthCheck(c fleet.ContainerHealth) *types.HealthCheck {
	var cmd []string
	switch v := c.Command.(type) {
	case string:
		cmd = []string{"CMD-SHELL", v}
	case []string:
		cmd = v
	case []any:
		for _, one := range v {
			text, ok := one.(string)
			if !ok {
				return nil
			}
			cmd = append(cmd, text)
		}
	}
	if len(cmd) == 0 {
		return nil
	}
	return &types.HealthCheck{Command: cmd, Interval: within(c.Interval, 5, 300), Timeout: within(c.Timeout, 2, 60), Retries: within(c.Retries, 1, 10), StartPeriod: within(c.StartPeriod, 0, 300)}
}

func within(v, low, high int64) *int32 { return aws.Int32(int32(min(max(v, low), high))) }

// volume is how much disk a server has, in GiB.
func volume(d *fleet.Definition) int32 {
	if d.AutoScaling != nil && d.AutoScaling.BlockDeviceVolumeSize != nil {
		return int32(*d.AutoScaling.BlockDeviceVolumeSize)
	}
	return 50
}
