package provider

import (
	"cmp"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/smithy-go/encoding/httpbinding"

	"github.com/weir-gateway/weir/internal/llm"
	"github.com/weir-gateway/weir/internal/wire"
)

// bedrockDriver is Bedrock's runtime: Converse for chat, and InvokeModel for embeddings and, where an entry says invoke/, for Claude in
// Anthropic's own dialect.
type bedrockDriver struct {
	plain
	auth     *awsAuth
	endpoint *url.URL // nil: the region's own
}

func newBedrock(s *setup) (driver, string, error) {
	d := &bedrockDriver{auth: s.newAWS("bedrock", true)}
	if err := d.auth.check(); err != nil {
		return nil, "", err
	}
	given, setting := s.p.AWS.RuntimeEndpoint, "aws_bedrock_runtime_endpoint"
	if given == "" {
		given, setting = s.p.APIBase, "api_base"
	}
	if given == "" {
		given, setting = s.env("AWS_BEDROCK_RUNTIME_ENDPOINT", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"), "AWS_BEDROCK_RUNTIME_ENDPOINT"
	}
	if given != "" {
		var err error
		if d.endpoint, err = parseBase(setting, given); err != nil {
			return nil, "", err
		}
		return d, shown(d.endpoint), nil
	}
	return d, bedrockAddress(cmp.Or(d.auth.stated(), usualRegion)), nil
}

func bedrockAddress(region string) string {
	return "https://bedrock-runtime." + region + "." + awsDomain(region)
}

func awsDomain(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

var (
	awsRegion     = regexp.MustCompile(`^[a-z]{2,4}(?:-[a-z]+)+-\d$`)
	commitment    = regexp.MustCompile(`^\d+-month-commitment$`)
	geography     = regexp.MustCompile(`^(?:us|eu|apac|ap|jp|au|ca|global|us-gov)\.([a-z0-9]+\.)`)
	bedrockRoutes = map[string]bool{"converse": true, "converse_like": true, "invoke": true, "nova": true, "llama": true, "deepseek_r1": true, "qwen2": true,
		"qwen3": true, "openai": true, "moonshot": true, "anthropic": true, "titan": true}
)

func (d *bedrockDriver) shape(u *Upstream) {
	// What stands before the id: a route, a region, a commitment, in LiteLLM's order or any.
	for {
		head, rest, ok := strings.Cut(u.Model, "/")
		if !ok || strings.HasPrefix(head, "arn:") {
			break
		}
		switch {
		case awsRegion.MatchString(head):
			u.region = head
		case bedrockRoutes[head]:
			if head != "invoke" {
				head = "converse"
			}
			u.route = head
		case commitment.MatchString(head):
		default:
			ok = false
		}
		if !ok {
			break
		}
		u.Model = rest
	}
	if strings.HasPrefix(u.Model, "arn:") {
		if parts := strings.SplitN(u.Model, ":", 5); len(parts) == 5 && u.region == "" && d.auth.setup.p.AWS.Region == "" {
			u.region = parts[3]
		}
	}
	if d.endpoint == nil && u.region != "" {
		u.Base = bedrockAddress(u.region)
	}
	claude := strings.Contains(u.Model, "anthropic.claude")
	u.Dialects = []llm.Dialect{llm.Converse}
	u.Ops = OpsOf(llm.OpChat)
	switch {
	case embedModel(u.Model):
		u.Ops = embedOnly
	case u.route == "invoke" && (claude || u.Model == "*" || strings.HasPrefix(u.Model, "arn:")):
		u.Dialects = []llm.Dialect{llm.Anthropic}
	case claude:
		u.Ops |= OpsOf(llm.OpCount)
	}
}

// embedModel tells the models that make vectors by their names.
func embedModel(model string) bool { return strings.Contains(model, "embed") }

func (d *bedrockDriver) where(u *Upstream, c *call) (string, error) {
	if u.region != "" {
		return u.region, nil
	}
	r, err := d.auth.region(c.ctx)
	if err != nil {
		return "", credentials(u.Provider, err)
	}
	return r, nil
}

func (d *bedrockDriver) address(u *Upstream, c *call) (*url.URL, error) {
	base := d.endpoint
	if base == nil {
		region, err := d.where(u, c)
		if err != nil {
			return nil, err
		}
		if base, err = parseBase("aws_region_name", bedrockAddress(region)); err != nil {
			return nil, err
		}
	}
	model, method := u.Model, converseMethod(c)
	switch {
	case c.op == llm.OpCount:
		model = geography.ReplaceAllString(model, "$1") // tokens are counted by models, not by profiles
	case c.op == llm.OpEmbed:
		method = "/invoke"
	case c.dialect == llm.Anthropic && c.stream:
		method = "/invoke-with-response-stream"
	case c.dialect == llm.Anthropic:
		method = "/invoke"
	}
	return join(base, "/model/"+httpbinding.EscapePath(model, true)+method)
}

func (d *bedrockDriver) authorize(u *Upstream, req *http.Request, c *call) error {
	if c.stream {
		setOnce(req.Header, "Accept", "application/vnd.amazon.eventstream")
	}
	region := ""
	if d.auth.bearer == "" {
		var err error
		if region, err = d.where(u, c); err != nil {
			return err
		}
	}
	return d.auth.authorize(req, c, region, u.Provider)
}

// edits make a Messages body one of InvokeModel, which has the model and the choice of streaming in its address.
func (d *bedrockDriver) edits(_ *Upstream, c *call) []wire.Edit {
	if c.dialect != llm.Anthropic || c.op != llm.OpChat {
		return nil
	}
	return []wire.Edit{{Name: "model"}, {Name: "stream"}, {Name: "anthropic_version", Value: []byte(`"bedrock-2023-05-31"`), Default: true}}
}

func (d *bedrockDriver) eventStream(_ *Upstream, dialect llm.Dialect) bool {
	return dialect == llm.Converse
}

func (d *bedrockDriver) unwrap(_ *Upstream, dialect llm.Dialect, body io.Reader) io.Reader {
	if dialect != llm.Anthropic {
		return nil
	}
	return newChunks(body, chunkInvoke)
}

func (d *bedrockDriver) embed(u *Upstream) llm.SpokenEmbed {
	if strings.Contains(u.Model, "cohere.embed") {
		return cohereEmbed{bedrock: true}
	}
	return titanEmbed{}
}
