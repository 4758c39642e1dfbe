package provider

import (
	"cmp"
	"io"
	"net/http"
	"net/url"

	"github.com/aws/smithy-go/encoding/httpbinding"

	"github.com/weir-gateway/weir/internal/llm"
)

// sageDriver is a SageMaker endpoint: sagemaker/ with the text-generation body of Hugging Face's containers, sagemaker_chat/ with
// OpenAI's chat, which vLLM's and newer containers take.
type sageDriver struct {
	plain
	auth     *awsAuth
	endpoint *url.URL // nil: the region's own
	chat     bool
}

func newSageMaker(s *setup) (driver, string, error) {
	d := &sageDriver{auth: s.newAWS("sagemaker", false), chat: s.provider == "sagemaker_chat"}
	if err := d.auth.check(); err != nil {
		return nil, "", err
	}
	given, setting := s.p.APIBase, "api_base"
	if given == "" {
		given, setting = s.env("SAGEMAKER_BASE_URL", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"), "SAGEMAKER_BASE_URL"
	}
	if given != "" {
		var err error
		if d.endpoint, err = parseBase(setting, given); err != nil {
			return nil, "", err
		}
		return d, shown(d.endpoint), nil
	}
	return d, sageAddress(cmp.Or(d.auth.stated(), usualRegion)), nil
}

func sageAddress(region string) string {
	return "https://runtime.sagemaker." + region + "." + awsDomain(region)
}

func (d *sageDriver) shape(u *Upstream) {
	u.Dialects = []llm.Dialect{llm.OpenAI}
	u.Ops = chatEmbed
	u.Quirks = oldMaxTokens
}

func (d *sageDriver) address(u *Upstream, c *call) (*url.URL, error) {
	base := d.endpoint
	if base == nil {
		region, err := d.auth.region(c.ctx)
		if err != nil {
			return nil, credentials(u.Provider, err)
		}
		if base, err = parseBase("aws_region_name", sageAddress(region)); err != nil {
			return nil, err
		}
	}
	method := "/invocations"
	if c.stream {
		method = "/invocations-response-stream"
	}
	return join(base, "/endpoints/"+httpbinding.EscapePath(u.Model, true)+method)
}

func (d *sageDriver) authorize(u *Upstream, req *http.Request, c *call) error {
	region, err := d.auth.region(c.ctx)
	if err != nil {
		return credentials(u.Provider, err)
	}
	return d.auth.authorize(req, c, region, u.Provider)
}

func (d *sageDriver) codec(_ *Upstream, dialect llm.Dialect) llm.Spoken {
	if d.chat || dialect != llm.OpenAI {
		return nil
	}
	return generate{streamField: true}
}

func (d *sageDriver) embed(*Upstream) llm.SpokenEmbed { return jumpEmbed{} }

func (d *sageDriver) unwrap(_ *Upstream, _ llm.Dialect, body io.Reader) io.Reader {
	return newChunks(body, chunkSageMaker)
}

// jumpEmbed speaks the embedding containers of SageMaker JumpStart.
type jumpEmbed struct{ teiEmbed }

func (jumpEmbed) EncodeEmbed(dst []byte, req *llm.EmbedRequest, _ *llm.Target) ([]byte, []string, error) {
	texts, err := inputTexts(req, "this upstream")
	if err != nil {
		return dst, nil, err
	}
	var d drops
	d.when(req.Dimensions != nil, "dimensions")
	d.when(req.User != "", "user")
	for name, v := range req.Extra {
		d.when(string(v) != "null", name)
	}
	out, err := appendObject(dst, map[string]any{"text_inputs": texts}, "input")
	return out, d, err
}
