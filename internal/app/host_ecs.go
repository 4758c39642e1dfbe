package app

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/ecs"
)

// openECS adds the ecs host where one is configured. What is wrong with its settings is logged, and its models say that it is missing.
func (a *App) openECS(hosts map[string]fleet.Host) {
	cfg := a.Config()
	c := &cfg.Fleet.ECS
	if c.Cluster == "" {
		return
	}
	var keys aws.CredentialsProvider // nil: the SDK's usual chain
	if id, secret := cfg.Env("AWS_ACCESS_KEY_ID"), cfg.Env("AWS_SECRET_ACCESS_KEY"); id != "" && secret != "" {
		keys = credentials.NewStaticCredentialsProvider(id, secret, cfg.Env("AWS_SESSION_TOKEN"))
	}
	region := c.Region
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if region == "" {
			region = cfg.Env(name)
		}
	}
	h, err := ecs.New(context.Background(), ecs.Options{
		Region: region, EndpointURL: c.EndpointURL, Cluster: c.Cluster, Subnets: c.Subnets, SecurityGroups: c.SecurityGroups,
		LoadBalancerARN: c.LoadBalancerARN, ListenerPort: int32(c.ListenerPort), Domain: c.Domain,
		ExecutionRoleARN: c.ExecutionRoleARN, TaskRoleARN: c.TaskRoleARN, InstanceProfileARN: c.InstanceProfileARN, AMI: c.AMI,
		ModelsBucket: c.ModelsBucket, WeightsImage: c.WeightsImage, Fargate: c.Launch == "fargate", OwnScaling: c.Scaling == "weir",
		LogGroupPrefix: c.LogGroupPrefix, NamePrefix: c.NamePrefix, Every: c.Every,
		HTTP: doer{a.egress}, Credentials: keys, Now: a.o.Now, Log: a.log,
	})
	if err != nil {
		a.log.Error("the ecs host can't be used", "error", err)
		return
	}
	hosts["ecs"] = h
}
