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

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/stock"
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

// templateData is what an instance is started from.
func (w *work) templateData(spec fleet.Spec, kind machine) params {
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
	script := fmt.Appendf(nil, boot, clusterName(w.o.Cluster), kind.gpus > 0)
	data := params{
		"ImageId": image, "InstanceType": aws.ToString(spec.InstanceType), "UserData": base64.StdEncoding.EncodeToString(script), "SecurityGroupId": w.o.SecurityGroups,
		"MetadataOptions": params{"HttpTokens": "required", "HttpPutResponseHopLimit": 2}, "Monitoring": params{"Enabled": true},
		"BlockDeviceMapping": []params{{"DeviceName": "/dev/xvda", "Ebs": params{"Encrypted": true, "VolumeSize": stock.Disk(&spec.Definition), "VolumeType": "gp3", "DeleteOnTermination": true}}},
		"TagSpecification":   []params{{"ResourceType": "instance", "Tag": w.ec2Tags()}, {"ResourceType": "volume", "Tag": w.ec2Tags()}},
	}
	if w.o.InstanceProfileARN != "" {
		data["IamInstanceProfile"] = params{"Arn": w.o.InstanceProfileARN}
	}
	return data
}

func (w *work) ec2Tags() []params {
	return append(w.elbTags(), params{"Key": "Name", "Value": w.name})
}

// template makes the launch template, and a new version when what it says should be something else. A version carries the digest of what it says.
func (w *work) template(ctx context.Context, spec fleet.Spec, kind machine) error {
	in := params{"LaunchTemplateName": w.name, "LaunchTemplateData": w.templateData(spec, kind)}
	body, err := ec2API.encode("", in)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:8])
	in["VersionDescription"] = digest
	var have struct {
		Versions []struct {
			Description string `xml:"versionDescription"`
		} `xml:"launchTemplateVersionSet>item"`
	}
	err = w.call(ctx, ec2API, "DescribeLaunchTemplateVersions", params{"LaunchTemplateName": w.name, "LaunchTemplateVersion": []string{"$Latest"}}, &have)
	if err != nil && !is(err, noTemplate...) {
		return fmt.Errorf("launch template: %w", err)
	}
	if err == nil && len(have.Versions) > 0 {
		if have.Versions[0].Description == digest {
			return nil
		}
		return asked("launch template", w.call(ctx, ec2API, "CreateLaunchTemplateVersion", in, nil))
	}
	in["TagSpecification"] = []params{{"ResourceType": "launch-template", "Tag": w.ec2Tags()}}
	err = w.call(ctx, ec2API, "CreateLaunchTemplate", in, nil)
	if is(err, "InvalidLaunchTemplateName.AlreadyExistsException") {
		return nil
	}
	return asked("launch template", err)
}

// removeTemplate takes the launch template away, if there is one.
func (w *work) removeTemplate(ctx context.Context) error {
	var have struct {
		Names []string `xml:"launchTemplates>item>launchTemplateName"`
	}
	err := w.call(ctx, ec2API, "DescribeLaunchTemplates", params{"LaunchTemplateName": []string{w.name}}, &have)
	if err == nil && len(have.Names) > 0 {
		err = w.call(ctx, ec2API, "DeleteLaunchTemplate", params{"LaunchTemplateName": w.name}, nil)
	}
	if is(err, noTemplate...) {
		return nil
	}
	return err
}

var noTemplate = []string{"InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.NotFoundException"}

type scalingGroup struct {
	ARN      string `xml:"AutoScalingGroupARN"`
	Status   string // set while it is being deleted
	MaxSize  int64
	Desired  int64                         `xml:"DesiredCapacity"`
	Cooldown int64                         `xml:"DefaultCooldown"`
	WarmUp   *int64                        `xml:"DefaultInstanceWarmup"`
	Tags     []struct{ Key, Value string } `xml:"Tags>member"`
}

// scalingGroups is an answer that lists some, from where another call goes on.
type scalingGroups struct {
	All       []scalingGroup `xml:"AutoScalingGroups>member"`
	NextToken string
}

// groupOfInstances finds the Auto Scaling group, nil if there is none.
func (w *work) groupOfInstances(ctx context.Context) (*scalingGroup, error) {
	var out scalingGroups
	if err := w.call(ctx, asgAPI, "DescribeAutoScalingGroups", params{"AutoScalingGroupNames": []string{w.name}}, &out); err != nil {
		return nil, fmt.Errorf("autoscaling group: %w", err)
	}
	if len(out.All) == 0 {
		return nil, nil
	}
	return &out.All[0], nil
}

// instances makes the Auto Scaling group, empty: its capacity provider sets how many instances it has. One more than the model may have
// servers, so that a new generation can come up beside the old one.
func (w *work) instances(ctx context.Context, spec fleet.Spec) (string, error) {
	group, err := w.groupOfInstances(ctx)
	if err != nil {
		return "", err
	}
	most, cooldown, warmup := spec.Replicas+1, int64(0), int64(0)
	if a := spec.AutoScaling; a != nil {
		most, cooldown, warmup = max(a.MaxCapacity, spec.Replicas)+1, a.Cooldown, a.DefaultInstanceWarmup
	}
	if group == nil {
		in := params{"AutoScalingGroupName": w.name, "MinSize": 0, "MaxSize": most, "DesiredCapacity": 0, "DefaultCooldown": cooldown, "DefaultInstanceWarmup": warmup,
			"LaunchTemplate": params{"LaunchTemplateName": w.name, "Version": "$Latest"}, "VPCZoneIdentifier": strings.Join(w.o.Subnets, ",")}
		tags := w.elbTags()
		for _, t := range tags {
			t["PropagateAtLaunch"], t["ResourceId"], t["ResourceType"] = true, w.name, "auto-scaling-group"
		}
		in["Tags"] = tags
		if err := w.call(ctx, asgAPI, "CreateAutoScalingGroup", in, nil); err != nil && !is(err, "AlreadyExists", "AlreadyExistsFault") {
			return "", asked("Auto Scaling group", err)
		}
		if group, err = w.groupOfInstances(ctx); err != nil {
			return "", err
		}
		if group == nil {
			return "", fmt.Errorf("autoscaling group: %s is made and not to be seen yet", w.name)
		}
	}
	if group.Status != "" {
		return "", fmt.Errorf("autoscaling group: %s", group.Status) // it is being deleted
	}
	if group.MaxSize != most || group.Cooldown != cooldown || group.WarmUp != nil && *group.WarmUp != warmup {
		err := w.call(ctx, asgAPI, "UpdateAutoScalingGroup", params{"AutoScalingGroupName": w.name, "MaxSize": most, "DefaultCooldown": cooldown, "DefaultInstanceWarmup": warmup}, nil)
		if err != nil {
			return "", asked("Auto Scaling group", err)
		}
	}
	return group.ARN, nil
}

type capacityProvider struct {
	Name         string `json:"name"`
	Status       string `json:"status"`
	UpdateStatus string `json:"updateStatus"`
	Group        *struct {
		Scaling struct {
			WarmUp int64 `json:"instanceWarmupPeriod"`
		} `json:"managedScaling"`
	} `json:"autoScalingGroupProvider"`
}

// providerOf finds the capacity provider, nil if there is none.
func (w *work) providerOf(ctx context.Context) (*capacityProvider, error) {
	var out struct {
		All []capacityProvider `json:"capacityProviders"`
	}
	if err := w.call(ctx, ecsAPI, "DescribeCapacityProviders", params{"capacityProviders": []string{w.name}}, &out); err != nil {
		return nil, fmt.Errorf("capacity provider: %w", err)
	}
	for i, p := range out.All {
		if p.Name == w.name && p.Status != statusInactive {
			return &out.All[i], nil
		}
	}
	return nil, nil
}

func (w *work) provider(ctx context.Context, spec fleet.Spec, group string) error {
	warmup := int64(300)
	if spec.AutoScaling != nil {
		warmup = within(spec.AutoScaling.Metric.EstimatedInstanceWarmup, 0, 10000)
	}
	managed := params{"status": "ENABLED", "targetCapacity": 100, "instanceWarmupPeriod": warmup}
	have, err := w.providerOf(ctx)
	if err != nil {
		return err
	}
	if have == nil {
		err := w.call(ctx, ecsAPI, "CreateCapacityProvider", params{"name": w.name, "tags": w.ecsTags(0), "autoScalingGroupProvider": params{
			"autoScalingGroupArn": group, "managedScaling": managed, "managedDraining": "ENABLED", "managedTerminationProtection": "DISABLED"}}, nil)
		if err != nil && strings.Contains(err.Error(), "already exists") {
			err = nil
		}
		return asked("capacity provider", err)
	}
	if have.Group == nil || have.Group.Scaling.WarmUp != warmup {
		return asked("capacity provider", w.call(ctx, ecsAPI, "UpdateCapacityProvider", params{"name": w.name, "autoScalingGroupProvider": params{"managedScaling": managed}}, nil))
	}
	return nil
}

// attach makes the cluster know the capacity provider, or forget it. The cluster's list is written as a whole, others' entries and all.
func (w *work) attach(ctx context.Context, known bool) error {
	w.providers.Lock()
	defer w.providers.Unlock()
	var out struct {
		Clusters []struct {
			Status    string   `json:"status"`
			Providers []string `json:"capacityProviders"`
			Usual     []params `json:"defaultCapacityProviderStrategy"`
		} `json:"clusters"`
	}
	if err := w.call(ctx, ecsAPI, "DescribeClusters", params{"clusters": []string{w.o.Cluster}}, &out); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	if len(out.Clusters) == 0 || out.Clusters[0].Status != statusActive {
		if !known {
			return nil
		}
		return &fault{words: "there is no cluster " + w.o.Cluster}
	}
	c := out.Clusters[0]
	if slices.Contains(c.Providers, w.name) == known {
		return nil
	}
	list := slices.DeleteFunc(slices.Clone(c.Providers), func(n string) bool { return n == w.name })
	if known {
		list = append(list, w.name)
	}
	in := params{"cluster": w.o.Cluster, "capacityProviders": list, "defaultCapacityProviderStrategy": c.Usual}
	return asked("cluster's capacity providers", w.call(ctx, ecsAPI, "PutClusterCapacityProviders", in, nil))
}
