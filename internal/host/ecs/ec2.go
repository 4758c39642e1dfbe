package ecs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
)

// ec2Client makes the six calls of EC2 that this host needs. The SDK's package for EC2 is larger than the rest of the gateway together and
// keeps all of its 600 operations in memory, so they are made here, by EC2's query protocol.
type ec2Client struct {
	cfg    aws.Config
	signer *v4.Signer
	now    func() time.Time
}

const (
	ec2Version = "2016-11-15"
	maxEC2     = 4 << 20 // of an answer, in bytes
)

// endpoint is where a region's EC2 answers, unless the settings say where all of AWS does.
func (c *ec2Client) endpoint() string {
	if c.cfg.BaseEndpoint != nil && *c.cfg.BaseEndpoint != "" {
		return strings.TrimSuffix(*c.cfg.BaseEndpoint, "/") + "/"
	}
	suffix := "amazonaws.com"
	if strings.HasPrefix(c.cfg.Region, "cn-") {
		suffix = "amazonaws.com.cn"
	}
	return "https://ec2." + c.cfg.Region + "." + suffix + "/"
}

// call makes one call and decodes its answer into out; nil: nothing in it is wanted. A refusal is a smithy.APIError, as the SDK's are.
func (c *ec2Client) call(ctx context.Context, action string, params url.Values, out any) error {
	params.Set("Action", action)
	params.Set("Version", ec2Version)
	body := params.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint(), strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	credentials, err := c.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	sum := sha256.Sum256([]byte(body))
	if err := c.signer.SignHTTP(ctx, credentials, req, hex.EncodeToString(sum[:]), "ec2", c.cfg.Region, c.now()); err != nil {
		return err
	}
	resp, err := c.cfg.HTTPClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxEC2))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return ec2Refusal(resp.StatusCode, b)
	}
	if out == nil {
		return nil
	}
	if err := xml.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s: the answer could not be read: %w", action, err)
	}
	return nil
}

func ec2Refusal(status int, body []byte) error {
	var said struct {
		Errors []struct {
			Code    string
			Message string
		} `xml:"Errors>Error"`
	}
	if xml.Unmarshal(body, &said) != nil || len(said.Errors) == 0 {
		return &smithy.GenericAPIError{Code: strconv.Itoa(status), Message: "EC2 answered " + http.StatusText(status)}
	}
	return &smithy.GenericAPIError{Code: said.Errors[0].Code, Message: said.Errors[0].Message}
}

// launchTemplate is what a launch template of this host says.
type launchTemplate struct {
	image, instanceType, userData, profileARN string
	securityGroups                            []string
	volume                                    int32 // GiB
	tags                                      []ec2Tag
}

type ec2Tag struct{ key, value string }

// params are the template's, under a prefix.
func (t *launchTemplate) params(p url.Values) {
	const at = "LaunchTemplateData."
	p.Set(at+"ImageId", t.image)
	p.Set(at+"InstanceType", t.instanceType)
	p.Set(at+"UserData", t.userData)
	for i, g := range t.securityGroups {
		p.Set(at+"SecurityGroupId."+strconv.Itoa(i+1), g)
	}
	p.Set(at+"MetadataOptions.HttpTokens", "required")
	p.Set(at+"MetadataOptions.HttpPutResponseHopLimit", "2")
	p.Set(at+"Monitoring.Enabled", "true")
	const disk = at + "BlockDeviceMapping.1."
	p.Set(disk+"DeviceName", "/dev/xvda")
	p.Set(disk+"Ebs.Encrypted", "true")
	p.Set(disk+"Ebs.VolumeSize", strconv.Itoa(int(t.volume)))
	p.Set(disk+"Ebs.VolumeType", "gp3")
	p.Set(disk+"Ebs.DeleteOnTermination", "true")
	if t.profileARN != "" {
		p.Set(at+"IamInstanceProfile.Arn", t.profileARN)
	}
	for i, kind := range []string{"instance", "volume"} {
		tagParams(p, at+"TagSpecification."+strconv.Itoa(i+1), kind, t.tags)
	}
}

func tagParams(p url.Values, at, kind string, tags []ec2Tag) {
	p.Set(at+".ResourceType", kind)
	for i, t := range tags {
		p.Set(at+".Tag."+strconv.Itoa(i+1)+".Key", t.key)
		p.Set(at+".Tag."+strconv.Itoa(i+1)+".Value", t.value)
	}
}

// templateDigest is the description of a template's latest version; ok is false if there is none.
func (c *ec2Client) templateDigest(ctx context.Context, name string) (digest string, ok bool, err error) {
	var out struct {
		Versions []struct {
			Description string `xml:"versionDescription"`
		} `xml:"launchTemplateVersionSet>item"`
	}
	err = c.call(ctx, "DescribeLaunchTemplateVersions", url.Values{"LaunchTemplateName": {name}, "LaunchTemplateVersion.1": {"$Latest"}}, &out)
	if is(err, noTemplate...) {
		return "", false, nil
	}
	if err != nil || len(out.Versions) == 0 {
		return "", false, err
	}
	return out.Versions[0].Description, true, nil
}

// makeTemplate makes a launch template, or if it is there already a new version of it.
func (c *ec2Client) makeTemplate(ctx context.Context, name, digest string, t *launchTemplate, there bool) error {
	p := url.Values{"LaunchTemplateName": {name}, "VersionDescription": {digest}}
	t.params(p)
	if there {
		return c.call(ctx, "CreateLaunchTemplateVersion", p, nil)
	}
	tagParams(p, "TagSpecification.1", "launch-template", t.tags)
	err := c.call(ctx, "CreateLaunchTemplate", p, nil)
	if is(err, "InvalidLaunchTemplateName.AlreadyExistsException") {
		return nil
	}
	return err
}

// hasTemplate reports whether there is a launch template with the name.
func (c *ec2Client) hasTemplate(ctx context.Context, name string) (bool, error) {
	var out struct {
		Templates []struct {
			Name string `xml:"launchTemplateName"`
		} `xml:"launchTemplates>item"`
	}
	err := c.call(ctx, "DescribeLaunchTemplates", url.Values{"LaunchTemplateName.1": {name}}, &out)
	if is(err, noTemplate...) {
		return false, nil
	}
	return len(out.Templates) > 0, err
}

func (c *ec2Client) deleteTemplate(ctx context.Context, name string) error {
	err := c.call(ctx, "DeleteLaunchTemplate", url.Values{"LaunchTemplateName": {name}}, nil)
	if is(err, noTemplate...) {
		return nil
	}
	return err
}

// instanceType is what EC2 tells of a type of instance; ok is false if it knows none of that name.
func (c *ec2Client) instanceType(ctx context.Context, name string) (m machine, ok bool, err error) {
	var out struct {
		Types []struct {
			VCPUs  int64 `xml:"vCpuInfo>defaultVCpus"`
			Memory int64 `xml:"memoryInfo>sizeInMiB"`
			GPUs   []struct {
				Count int64 `xml:"count"`
			} `xml:"gpuInfo>gpus>item"`
			Architectures []string `xml:"processorInfo>supportedArchitectures>item"`
		} `xml:"instanceTypeSet>item"`
	}
	if err := c.call(ctx, "DescribeInstanceTypes", url.Values{"InstanceType.1": {name}}, &out); err != nil || len(out.Types) == 0 {
		return machine{}, false, err
	}
	one := out.Types[0]
	m = machine{vcpus: one.VCPUs, memory: one.Memory}
	for _, g := range one.GPUs {
		m.gpus += g.Count
	}
	for _, a := range one.Architectures {
		m.arm = m.arm || a == "arm64"
	}
	return m, true, nil
}
