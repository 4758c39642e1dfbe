// Package stock is what hosts that run containers share: what the machines of an instance type have, how the stock image of an
// inferenceContainer is started, how a definition says its health check, what a model is called, and what was last seen of it.
package stock

import (
	"maps"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/fleet"
)

// Machine is what an instance type has.
type Machine struct {
	VCPUs  int64
	Memory int64 // MiB
	GPUs   int64
}

// size is one size of a family.
type size struct {
	name  string
	vcpus int64
	gib   int64
	gpus  int64
}

// families are the instance types that models usually run on.
var families = map[string][]size{
	"m5":   general,
	"m5d":  general,
	"g4dn": {{"xlarge", 4, 16, 1}, {"2xlarge", 8, 32, 1}, {"4xlarge", 16, 64, 1}, {"8xlarge", 32, 128, 1}, {"16xlarge", 64, 256, 1}, {"12xlarge", 48, 192, 4}, {"metal", 96, 384, 8}},
	"g5":   {{"xlarge", 4, 16, 1}, {"2xlarge", 8, 32, 1}, {"4xlarge", 16, 64, 1}, {"8xlarge", 32, 128, 1}, {"16xlarge", 64, 256, 1}, {"12xlarge", 48, 192, 4}, {"24xlarge", 96, 384, 4}, {"48xlarge", 192, 768, 8}},
	"g6":   {{"xlarge", 4, 16, 1}, {"2xlarge", 8, 32, 1}, {"4xlarge", 16, 64, 1}, {"8xlarge", 32, 128, 1}, {"16xlarge", 64, 256, 1}, {"12xlarge", 48, 192, 4}, {"24xlarge", 96, 384, 4}, {"48xlarge", 192, 768, 8}},
	"g6e":  {{"xlarge", 4, 32, 1}, {"2xlarge", 8, 64, 1}, {"4xlarge", 16, 128, 1}, {"8xlarge", 32, 256, 1}, {"16xlarge", 64, 512, 1}, {"12xlarge", 48, 384, 4}, {"24xlarge", 96, 768, 4}, {"48xlarge", 192, 1536, 8}},
	"p4d":  {{"24xlarge", 96, 1152, 8}},
	"p4de": {{"24xlarge", 96, 1152, 8}},
	"p5":   {{"48xlarge", 192, 2048, 8}},
	"p5e":  {{"48xlarge", 192, 2048, 8}},
	"p5en": {{"48xlarge", 192, 2048, 8}},
}

var general = []size{{"large", 2, 8, 0}, {"xlarge", 4, 16, 0}, {"2xlarge", 8, 32, 0}, {"4xlarge", 16, 64, 0}, {"8xlarge", 32, 128, 0}, {"12xlarge", 48, 192, 0}, {"16xlarge", 64, 256, 0}, {"24xlarge", 96, 384, 0}}

// MachineOf is the machine of an instance type; ok is false for one that is not among those models usually run on.
func MachineOf(instanceType string) (m Machine, ok bool) {
	family, rest, _ := strings.Cut(instanceType, ".")
	for _, s := range families[family] {
		if s.name == rest {
			return Machine{VCPUs: s.vcpus, Memory: s.gib << 10, GPUs: s.gpus}, true
		}
	}
	return Machine{}, false
}

// Container is the model's inferenceContainer, empty if there is none.
func Container(d *fleet.Definition) string {
	if d.Container == nil {
		return ""
	}
	return *d.Container
}

// ServedName is the name that the model's server answers to: the one that the gateway calls it by.
func ServedName(d *fleet.Definition) string {
	if Container(d) == "vllm" {
		return d.ModelID
	}
	return d.ModelName
}

// vllmFlags are the variables that become flags of vLLM's server: VLLM_MAX_MODEL_LEN is --max-model-len.
var vllmFlags = []string{"GPU_MEMORY_UTILIZATION", "MAX_MODEL_LEN", "MAX_NUM_BATCHED_TOKENS", "MAX_NUM_SEQS", "ENABLE_PREFIX_CACHING", "ENABLE_CHUNKED_PREFILL", "DTYPE",
	"TENSOR_PARALLEL_SIZE", "QUANTIZATION", "TRUST_REMOTE_CODE", "ENABLE_AUTO_TOOL_CHOICE", "TOOL_CALL_PARSER", "REASONING_PARSER", "REASONING_PARSER_PLUGIN", "ASYNC_SCHEDULING",
	"MAX_PARALLEL_LOADING_WORKERS"}

// Command is what the stock image of the model's inferenceContainer is started with (contract lisa.md A.3), to serve the weights at path on
// the port. nil: the image knows by itself.
func Command(d *fleet.Definition, path string, port int) []string {
	at := strconv.Itoa(port)
	switch Container(d) {
	case "vllm":
		out := []string{"--model", path, "--served-model-name", d.ModelID, "--host", "0.0.0.0", "--port", at}
		env := maps.Clone(d.ContainerConfig.Environment)
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
		return []string{"--model-id", path, "--port", at, "--json-output"}
	case "llamacpp":
		return []string{"--model", path, "--alias", d.ModelID, "--host", "0.0.0.0", "--port", at}
	}
	return nil
}

// HealthCommand is the container's own health check as Docker says it, with CMD or CMD-SHELL first; nil if there is none.
func HealthCommand(c fleet.ContainerHealth) []string {
	switch v := c.Command.(type) {
	case string:
		if v != "" {
			return []string{"CMD-SHELL", v}
		}
	case []string:
		return v
	case []any:
		var out []string
		for _, one := range v {
			text, ok := one.(string)
			if !ok {
				return nil
			}
			out = append(out, text)
		}
		return out
	}
	return nil
}

// Disk is how much room a server's weights have, in GiB.
func Disk(d *fleet.Definition) int64 {
	if d.AutoScaling != nil && d.AutoScaling.BlockDeviceVolumeSize != nil {
		return *d.AutoScaling.BlockDeviceVolumeSize
	}
	return 50
}
