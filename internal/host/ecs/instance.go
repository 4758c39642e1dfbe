package ecs

import (
	"context"
	"fmt"
	"slices"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/stock"
)

// machine is what an instance type has, and where its models run.
type machine struct {
	vcpus   int64
	memory  int64 // MiB
	gpus    int64
	arm     bool
	fargate bool
}

// instance tells what the model's instance type has.
func (h *Host) instance(ctx context.Context, d *fleet.Definition) (machine, error) {
	name := ""
	if d.InstanceType != nil {
		name = *d.InstanceType
	}
	if m, ok := stock.MachineOf(name); ok {
		return h.placed(machine{vcpus: m.VCPUs, memory: m.Memory, gpus: m.GPUs}), nil
	}
	var out struct {
		Types []struct {
			VCPUs         int64    `xml:"vCpuInfo>defaultVCpus"`
			Memory        int64    `xml:"memoryInfo>sizeInMiB"`
			GPUs          []int64  `xml:"gpuInfo>gpus>item>count"`
			Architectures []string `xml:"processorInfo>supportedArchitectures>item"`
		} `xml:"instanceTypeSet>item"`
	}
	if err := h.call(ctx, ec2API, "DescribeInstanceTypes", params{"InstanceType": []string{name}}, &out); err != nil {
		return machine{}, asked("instance type "+name, err)
	}
	if len(out.Types) == 0 {
		return machine{}, &fault{words: fmt.Sprintf("instance type %s: unknown in %s", name, h.o.Region)}
	}
	one := out.Types[0]
	m := machine{vcpus: one.VCPUs, memory: one.Memory, arm: slices.Contains(one.Architectures, "arm64")}
	for _, n := range one.GPUs {
		m.gpus += n
	}
	return h.placed(m), nil
}

func (h *Host) placed(m machine) machine {
	m.fargate = h.o.Fargate && m.gpus == 0
	return m
}

// tasks are the sizes that Fargate has: CPU units, and memory in MiB from, to, in steps of.
var tasks = []struct{ cpu, from, to, step int64 }{
	{256, 512, 2048, 512}, {512, 1024, 4096, 1024}, {1024, 2048, 8192, 1024}, {2048, 4096, 16384, 1024}, {4096, 8192, 30720, 1024}, {8192, 16384, 61440, 4096},
	{16384, 32768, 122880, 8192},
}

// fargateSize is the smallest size of Fargate that has as much, or the largest there is.
func (m machine) fargateSize() (cpu, memory int64) {
	for _, t := range tasks {
		if t.cpu >= m.vcpus*1024 && t.to >= m.memory {
			steps := max(0, (m.memory-t.from+t.step-1)/t.step)
			return t.cpu, t.from + steps*t.step
		}
	}
	last := tasks[len(tasks)-1]
	return last.cpu, last.to
}
