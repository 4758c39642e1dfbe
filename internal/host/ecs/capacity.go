package ecs

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/weir-gateway/weir/internal/fleet"
)

// capacity makes the EC2 instances under a service come and go with its tasks: a launch template, an Auto Scaling group, and a capacity
// provider that the cluster knows.
func (w *work) capacity(ctx context.Context, spec fleet.Spec, kind machine) error {
	if err := w.template(ctx, spec, kind); err != nil {
		return err
	}
	arn, err := w.instances(ctx, spec)
	if err != nil {
		return err
	}
	if err := w.provider(ctx, spec, arn); err != nil {
		return err
	}
	return w.attach(ctx, true)
}

// boot is the script that an instance starts with: it joins the cluster, and gives the fast local disk to the containers where there is one.
const boot = `#!/bin/bash
echo "ECS_CLUSTER=%s" >> /etc/ecs/ecs.config
echo "ECS_ENABLE_GPU_SUPPORT=%t" >> /etc/ecs/ecs.config
echo "ECS_AWSVPC_BLOCK_IMDS=true" >> /etc/ecs/ecs.config
disk=$(ls /dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_* 2>/dev/null | grep -v _1$ | head -1)
[ -n "$disk" ] || disk=$(ls /dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_* 2>/dev/null | head -1)
if [ -n "$disk" ]; then
  systemctl stop ecs docker
  mkfs.xfs -f "$disk" && mkdir -p /nvme && mount "$disk" /nvme && mkdir -p /nvme/docker /etc/docker
  echo '{"data-root": "/nvme/docker"}' > /etc/docker/daemon.json
  systemctl start docker && systemctl enable --now --no-block ecs
fi
`

func (w *work) templateData(spec fleet.Spec, kind machine) *launchTemplate {
	image := w.o.AMI
	if image == "" {
		variant := ""
		switch {
		case kind.gpus > 0:
			variant = "/gpu"
		case kind.arm:
			variant = "/arm64"
		}
		image = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023" + variant + "/recommended/image_id"
	}
	return &launchTemplate{
		image: image, instanceType: aws.ToString(spec.InstanceType), securityGroups: w.o.SecurityGroups, profileARN: w.o.InstanceProfileARN,
		userData: base64.StdEncoding.EncodeToString(fmt.Appendf(nil, boot, clusterName(w.o.Cluster), kind.gpus > 0)), volume: volume(&spec.Definition),
		tags: []ec2Tag{{tagModel, tagOf(w.id)}, {tagOwner, w.o.NamePrefix}, {"Name", w.name}},
	}
}

// template makes the launch template, and a new version when what it says should be something else. A version carries the digest of what it says.
func (w *work) template(ctx context.Context, spec fleet.Spec, kind machine) error {
	data := w.templateData(spec, kind)
	sum := sha256.Sum256([]byte(strings.Join([]string{data.image, data.instanceType, strings.Join(data.securityGroups, ","), data.userData, data.profileARN,
		fmt.Sprint(data.volume)}, "\n")))
	digest := hex.EncodeToString(sum[:8])
	latest, there, err := w.ec2.templateDigest(ctx, w.name)
	if err != nil {
		return fmt.Errorf("launch template: %w", err)
	}
	if there && latest == digest {
		return nil
	}
	return asked("launch template", w.ec2.makeTemplate(ctx, w.name, digest, data, there))
}

var noTemplate = []string{"InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.NotFoundException"}

// groupOfInstances finds the Auto Scaling group, nil if there is none.
func (w *work) groupOfInstances(ctx context.Context) (*astypes.AutoScalingGroup, error) {
	out, err := w.asg.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{w.name}})
	if err != nil {
		return nil, fmt.Errorf("autoscaling group: %w", err)
	}
	if len(out.AutoScalingGroups) == 0 {
		return nil, nil
	}
	return &out.AutoScalingGroups[0], nil
}

// instances makes the Auto Scaling group, empty: its capacity provider sets how many instances it has. One more than the model may have
// servers, so that a new generation can come up beside the old one.
func (w *work) instances(ctx context.Context, spec fleet.Spec) (string, error) {
	group, err := w.groupOfInstances(ctx)
	if err != nil {
		return "", err
	}
	most, cooldown, warmup := int32(spec.Replicas)+1, int32(0), int32(0)
	if a := spec.AutoScaling; a != nil {
		most, cooldown, warmup = int32(max(a.MaxCapacity, spec.Replicas))+1, int32(a.Cooldown), int32(a.DefaultInstanceWarmup)
	}
	template := &astypes.LaunchTemplateSpecification{LaunchTemplateName: &w.name, Version: aws.String("$Latest")}
	if group == nil {
		in := &autoscaling.CreateAutoScalingGroupInput{
			AutoScalingGroupName: &w.name, MinSize: aws.Int32(0), MaxSize: &most, DesiredCapacity: aws.Int32(0), DefaultCooldown: &cooldown, DefaultInstanceWarmup: &warmup,
			LaunchTemplate: template, VPCZoneIdentifier: aws.String(strings.Join(w.o.Subnets, ",")),
		}
		for key, value := range w.tags() {
			in.Tags = append(in.Tags, astypes.Tag{Key: &key, Value: &value, PropagateAtLaunch: aws.Bool(true), ResourceId: &w.name, ResourceType: aws.String("auto-scaling-group")})
		}
		if _, err := w.asg.CreateAutoScalingGroup(ctx, in); err != nil && !is(err, "AlreadyExists", "AlreadyExistsFault") {
			return "", asked("Auto Scaling group", err)
		}
		if group, err = w.groupOfInstances(ctx); err != nil {
			return "", err
		}
		if group == nil {
			return "", fmt.Errorf("autoscaling group: %s is made and not to be seen yet", w.name)
		}
	}
	if aws.ToString(group.Status) != "" {
		return "", fmt.Errorf("autoscaling group: %s", aws.ToString(group.Status)) // it is being deleted
	}
	if aws.ToInt32(group.MaxSize) != most || aws.ToInt32(group.DefaultCooldown) != cooldown || aws.ToInt32(group.DefaultInstanceWarmup) != warmup && group.DefaultInstanceWarmup != nil {
		_, err := w.asg.UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: &w.name, MaxSize: &most, DefaultCooldown: &cooldown, DefaultInstanceWarmup: &warmup})
		if err != nil {
			return "", asked("Auto Scaling group", err)
		}
	}
	return aws.ToString(group.AutoScalingGroupARN), nil
}

// providerOf finds the capacity provider, nil if there is none.
func (w *work) providerOf(ctx context.Context) (*ecstypes.CapacityProvider, error) {
	out, err := w.ecs.DescribeCapacityProviders(ctx, &ecs.DescribeCapacityProvidersInput{CapacityProviders: []string{w.name}})
	if err != nil {
		return nil, fmt.Errorf("capacity provider: %w", err)
	}
	for i, p := range out.CapacityProviders {
		if aws.ToString(p.Name) == w.name && p.Status != ecstypes.CapacityProviderStatusInactive {
			return &out.CapacityProviders[i], nil
		}
	}
	return nil, nil
}

func (w *work) provider(ctx context.Context, spec fleet.Spec, group string) error {
	warmup := int64(300)
	if spec.AutoScaling != nil {
		warmup = spec.AutoScaling.Metric.EstimatedInstanceWarmup
	}
	managed := &ecstypes.ManagedScaling{Status: ecstypes.ManagedScalingStatusEnabled, TargetCapacity: aws.Int32(100), InstanceWarmupPeriod: within(warmup, 0, 10000)}
	have, err := w.providerOf(ctx)
	if err != nil {
		return err
	}
	if have == nil {
		_, err := w.ecs.CreateCapacityProvider(ctx, &ecs.CreateCapacityProviderInput{Name: &w.name, Tags: w.ecsTags(0), AutoScalingGroupProvider: &ecstypes.AutoScalingGroupProvider{
			AutoScalingGroupArn: &group, ManagedScaling: managed, ManagedDraining: ecstypes.ManagedDrainingEnabled, ManagedTerminationProtection: ecstypes.ManagedTerminationProtectionDisabled}})
		if err != nil && strings.Contains(err.Error(), "already exists") {
			err = nil
		}
		return asked("capacity provider", err)
	}
	if p := have.AutoScalingGroupProvider; p == nil || p.ManagedScaling == nil || aws.ToInt32(p.ManagedScaling.InstanceWarmupPeriod) != *managed.InstanceWarmupPeriod {
		_, err := w.ecs.UpdateCapacityProvider(ctx, &ecs.UpdateCapacityProviderInput{Name: &w.name, AutoScalingGroupProvider: &ecstypes.AutoScalingGroupProviderUpdate{ManagedScaling: managed}})
		return asked("capacity provider", err)
	}
	return nil
}

// attach makes the cluster know the capacity provider, or forget it. The cluster's list is written as a whole, others' entries and all.
func (w *work) attach(ctx context.Context, known bool) error {
	w.providers.Lock()
	defer w.providers.Unlock()
	out, err := w.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: []string{w.o.Cluster}})
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	if len(out.Clusters) == 0 || aws.ToString(out.Clusters[0].Status) != "ACTIVE" {
		if !known {
			return nil
		}
		return &fault{words: "there is no cluster " + w.o.Cluster}
	}
	c := out.Clusters[0]
	if slices.Contains(c.CapacityProviders, w.name) == known {
		return nil
	}
	list := slices.DeleteFunc(slices.Clone(c.CapacityProviders), func(n string) bool { return n == w.name })
	if known {
		list = append(list, w.name)
	}
	usual := c.DefaultCapacityProviderStrategy
	if usual == nil {
		usual = []ecstypes.CapacityProviderStrategyItem{}
	}
	_, err = w.ecs.PutClusterCapacityProviders(ctx, &ecs.PutClusterCapacityProvidersInput{Cluster: &w.o.Cluster, CapacityProviders: list, DefaultCapacityProviderStrategy: usual})
	return asked("cluster's capacity providers", err)
}
