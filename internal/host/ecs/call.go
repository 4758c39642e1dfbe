package ecs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The SDK's packages for these services keep every operation they know in memory from the start, which was half as much again as the rest of
// the gateway. This host makes some fifty calls, so they are made here, by AWS's two older protocols: JSON both ways, or a form that is
// answered by XML.

// api is one of AWS's services.
type api struct {
	name    string // in addresses and signatures
	sdkID   string // in settings: AWS_ENDPOINT_URL_<it>
	target  string // before an operation's name, where the service speaks JSON
	version string // where it takes forms
	item    string // between a list's name and an item's number in a form
	result  string // after an operation's name, around the answer to a form; empty: the answer's root is all there is around it
}

var (
	ecsAPI     = &api{name: "ecs", sdkID: "ECS", target: "AmazonEC2ContainerServiceV20141113."}
	logsAPI    = &api{name: "logs", sdkID: "CloudWatch Logs", target: "Logs_20140328."}
	scalingAPI = &api{name: "application-autoscaling", sdkID: "Application Auto Scaling", target: "AnyScaleFrontendService."}
	elbAPI     = &api{name: "elasticloadbalancing", sdkID: "Elastic Load Balancing v2", version: "2015-12-01", item: ".member.", result: "Result"}
	asgAPI     = &api{name: "autoscaling", sdkID: "Auto Scaling", version: "2011-01-01", item: ".member.", result: "Result"}
	ec2API     = &api{name: "ec2", sdkID: "EC2", version: "2016-11-15", item: "."}
)

// suffixes are the domains of AWS's partitions other than the public one, by how their regions begin.
var suffixes = []struct{ region, domain string }{
	{"cn-", "amazonaws.com.cn"}, {"eusc-", "amazonaws.eu"}, {"us-iso-", "c2s.ic.gov"}, {"us-isob-", "sc2s.sgov.gov"}, {"eu-isoe-", "cloud.adc-e.uk"}, {"us-isof-", "csp.hci.ic.gov"},
}

// params are what a call says. Values are strings, numbers, truth values, params, and slices of strings and of params.
type params map[string]any

// caller makes calls of AWS. Safe for concurrent use.
type caller struct {
	cfg    aws.Config
	at     map[*api]string // where the services answer
	signer *v4.Signer
	now    func() time.Time
}

// maxAnswer bounds an answer, in bytes. The longest are a model's log lines, of which AWS sends at most 1 MiB at a time.
const maxAnswer = 8 << 20

// call makes one call and decodes its answer into out; nil: nothing in it is wanted. What AWS refuses is a *refusal. It is made once: a call
// that fails is made again by the fleet, which knows how long to wait.
func (c *caller) call(ctx context.Context, to *api, operation string, in params, out any) error {
	if err := c.make(ctx, to, operation, in, out); err != nil {
		return fmt.Errorf("%s %s: %w", to.name, operation, err)
	}
	return nil
}

func (c *caller) make(ctx context.Context, to *api, operation string, in params, out any) error {
	body, err := to.encode(operation, in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.at[to], bytes.NewReader(body))
	if err != nil {
		return err
	}
	if to.target != "" {
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", to.target+operation)
	} else {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	}
	credentials, err := c.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	sum := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, credentials, req, hex.EncodeToString(sum[:]), to.name, c.cfg.Region, c.now()); err != nil {
		return err
	}
	resp, err := c.cfg.HTTPClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return to.refused(resp, answer)
	}
	if out == nil {
		return nil
	}
	if err := to.decode(operation, answer, out); err != nil {
		return fmt.Errorf("the answer could not be read: %w", err)
	}
	return nil
}

// addresses are where the services answer: what the options say of all of them, else what variables or files say of one or of all, else AWS's
// own addresses in the region.
func addresses(ctx context.Context, cfg *aws.Config, all string) map[*api]string {
	fips := aws.FIPSEndpointStateUnset
	ignore, _, _ := awsconfig.GetIgnoreConfiguredEndpoints(ctx, cfg.ConfigSources) // nor do the others fail: they read what was loaded
	for _, source := range cfg.ConfigSources {
		if s, ok := source.(interface {
			GetUseFIPSEndpoint(ctx context.Context) (aws.FIPSEndpointState, bool, error)
		}); ok && fips == aws.FIPSEndpointStateUnset {
			fips, _, _ = s.GetUseFIPSEndpoint(ctx)
		}
	}
	out := map[*api]string{}
	for _, to := range []*api{ecsAPI, logsAPI, scalingAPI, elbAPI, asgAPI, ec2API} {
		at := all
		for _, source := range cfg.ConfigSources {
			if s, ok := source.(interface {
				GetServiceBaseEndpoint(ctx context.Context, sdkID string) (string, bool, error)
			}); ok && at == "" && !ignore {
				at, _, _ = s.GetServiceBaseEndpoint(ctx, to.sdkID)
			}
		}
		at = cmp.Or(at, aws.ToString(cfg.BaseEndpoint), to.usual(cfg.Region, fips == aws.FIPSEndpointStateEnabled))
		out[to] = strings.TrimSuffix(at, "/") + "/"
	}
	return out
}

// usual is AWS's own address of a service. With FIPS only what is validated encrypts the connection; in the government's regions most services
// have no other.
func (a *api) usual(region string, fips bool) string {
	domain, name := "amazonaws.com", a.name
	for _, s := range suffixes {
		if strings.HasPrefix(region, s.region) {
			domain = s.domain
		}
	}
	if fips && (a == ecsAPI || !strings.HasPrefix(region, "us-gov-")) {
		name += "-fips"
	}
	return "https://" + name + "." + region + "." + domain
}

func (a *api) encode(operation string, in params) ([]byte, error) {
	if a.target != "" {
		return json.Marshal(in, json.Deterministic(true))
	}
	form := url.Values{"Action": {operation}, "Version": {a.version}}
	for name, value := range in {
		a.add(form, name, value)
	}
	return []byte(form.Encode()), nil
}

// add enters a value into a form: what is nested by names with dots, the items of lists by their numbers, from 1.
func (a *api) add(form url.Values, name string, value any) {
	switch v := value.(type) {
	case params:
		for key, one := range v {
			a.add(form, name+"."+key, one)
		}
	case []params:
		for i, one := range v {
			a.add(form, name+a.item+strconv.Itoa(i+1), one)
		}
	case []string:
		for i, one := range v {
			form.Set(name+a.item+strconv.Itoa(i+1), one)
		}
	default:
		form.Set(name, fmt.Sprint(v))
	}
}

// lenient reads what containers said and was cut within a character, and refusals that say "message" and "Message".
var lenient = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

func (a *api) decode(operation string, answer []byte, out any) error {
	if a.target != "" {
		return json.Unmarshal(answer, out, lenient)
	}
	in := operation + "Response"
	if a.result != "" {
		in = operation + a.result
	}
	return element(answer, in, out)
}

// element decodes the first XML element of a name.
func element(answer []byte, name string, out any) error {
	for d := xml.NewDecoder(bytes.NewReader(answer)); ; {
		token, err := d.Token()
		if err != nil {
			return fmt.Errorf("no %s: %w", name, err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == name {
			return d.DecodeElement(out, &start)
		}
	}
}

// refusal is what AWS says of a call that it did not carry out.
type refusal struct {
	status    int    // of HTTP
	code      string // by which kinds are told apart
	message   string
	requestID string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s: %s (status %d, request %s)", r.code, r.message, r.status, cmp.Or(r.requestID, "without id"))
}

// refused reads a refusal. One that is not in the service's own words, as of a proxy on the way, has the status as its code.
func (a *api) refused(resp *http.Response, answer []byte) *refusal {
	r := &refusal{status: resp.StatusCode, requestID: cmp.Or(resp.Header.Get("X-Amzn-Requestid"), resp.Header.Get("X-Amz-Request-Id"))}
	if a.target == "" {
		var said struct{ Code, Message string }
		if element(answer, "Error", &said) == nil {
			r.code, r.message = said.Code, said.Message
		}
	} else {
		var said struct {
			Type    string `json:"__type"`
			Message string `json:"message,case:ignore"`
		}
		if json.Unmarshal(answer, &said, lenient) == nil {
			r.code, r.message = cmp.Or(said.Type, resp.Header.Get("X-Amzn-Errortype")), said.Message
		}
		// namespace#Code:where its schema is
		r.code, _, _ = strings.Cut(r.code[strings.LastIndexByte(r.code, '#')+1:], ":")
	}
	if r.code == "" {
		r.code, r.message = strconv.Itoa(r.status), http.StatusText(r.status)
	}
	return r
}

// is reports whether AWS answered with one of the codes.
func is(err error, codes ...string) bool {
	r := (*refusal)(nil)
	return errors.As(err, &r) && slices.Contains(codes, r.code)
}
