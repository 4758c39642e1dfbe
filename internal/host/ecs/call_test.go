package ecs

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
	"github.com/google/go-cmp/cmp"

	"github.com/weir-gateway/weir/internal/host/ecs/awstest"
)

// answering is a caller whose calls are answered by f.
func answering(t *testing.T, o Options, f func(*http.Request) (*http.Response, error)) *Host {
	t.Helper()
	o.Cluster, o.Subnets, o.SecurityGroups, o.HTTP, o.Now = "c", []string{"s"}, []string{"g"}, &http.Client{Transport: roundTrip(f)}, timeZero
	h, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestForm: nested names are joined by dots, lists are counted from 1, in EC2's way and in that of the others.
func TestForm(t *testing.T) {
	f := func(to *api, want url.Values) {
		t.Helper()
		b, err := to.encode("Do", params{"Name": "a b", "Names": []string{"x", "y"}, "In": params{"N": 3, "Yes": true}, "All": []params{{"K": "1", "In": params{"Of": []string{"z"}}}}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := url.ParseQuery(string(b))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", to.name, d)
		}
	}
	f(elbAPI, url.Values{"Action": {"Do"}, "Version": {"2015-12-01"}, "Name": {"a b"}, "Names.member.1": {"x"}, "Names.member.2": {"y"}, "In.N": {"3"}, "In.Yes": {"true"},
		"All.member.1.K": {"1"}, "All.member.1.In.Of.member.1": {"z"}})
	f(ec2API, url.Values{"Action": {"Do"}, "Version": {"2016-11-15"}, "Name": {"a b"}, "Names.1": {"x"}, "Names.2": {"y"}, "In.N": {"3"}, "In.Yes": {"true"},
		"All.1.K": {"1"}, "All.1.In.Of.1": {"z"}})
}

// TestRefused: code and message of a refusal are found in every form that AWS, or a proxy before it, gives them.
func TestRefused(t *testing.T) {
	f := func(to *api, status int, header http.Header, body string, want refusal) {
		t.Helper()
		h := answering(t, Options{Region: "eu-central-1", Credentials: awstest.Keys}, func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
		})
		got := (*refusal)(nil)
		if err := h.call(t.Context(), to, "Do", params{}, nil); !errors.As(err, &got) || *got != want || !is(err, want.code) {
			t.Errorf("%s: got %v, want %+v", body, err, want)
		}
	}
	none := http.Header{}
	f(ecsAPI, 400, http.Header{"X-Amzn-Requestid": {"r-1"}}, `{"__type":"ClientException","message":"no such family"}`, refusal{400, "ClientException", "no such family", "r-1"})
	f(logsAPI, 400, none, `{"__type":"com.amazonaws.logs#ResourceNotFoundException","Message":"gone"}`, refusal{400, "ResourceNotFoundException", "gone", ""})
	f(scalingAPI, 400, http.Header{"X-Amzn-Errortype": {"ObjectNotFoundException:http://internal/"}}, `{"message":"none","Message":"none"}`, refusal{400, "ObjectNotFoundException", "none", ""})
	f(elbAPI, 400, none, `<ErrorResponse xmlns="http://e/"><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error><RequestId>q</RequestId></ErrorResponse>`,
		refusal{400, "Throttling", "Rate exceeded", ""})
	f(ec2API, 503, none, `<Response><Errors><Error><Code>Unavailable</Code><Message>try later</Message></Error></Errors><RequestID>q</RequestID></Response>`, refusal{503, "Unavailable", "try later", ""})
	f(ecsAPI, 502, none, "<html>bad gateway</html>", refusal{502, "502", "Bad Gateway", ""})
	f(asgAPI, 502, none, "", refusal{502, "502", "Bad Gateway", ""})
}

// TestEndpoint: the setting is obeyed first, then the variables that AWS's own tools read, for one service before those for all.
func TestEndpoint(t *testing.T) {
	f := func(o Options, to *api, want string) {
		t.Helper()
		got := ""
		h := answering(t, o, func(req *http.Request) (*http.Response, error) {
			got = req.URL.String()
			if sign := req.Header.Get("Authorization"); !strings.Contains(sign, "/"+o.Region+"/"+to.name+"/aws4_request") {
				t.Errorf("signed %q", sign)
			}
			return nil, errors.New("enough")
		})
		if err := h.call(t.Context(), to, "Do", params{}, nil); err == nil || got != want {
			t.Errorf("called %s, %v; want %s", got, err, want)
		}
	}
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ECS", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_CA_BUNDLE", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE") // found by the SDK's chain, with all else that it finds
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	f(Options{Region: "eu-central-1"}, ecsAPI, "https://ecs.eu-central-1.amazonaws.com/")
	t.Setenv("AWS_ENDPOINT_URL", "http://all:1")
	f(Options{Region: "eu-central-1"}, logsAPI, "http://all:1/")
	t.Setenv("AWS_ENDPOINT_URL_ECS", "http://one:1/")
	f(Options{Region: "eu-central-1"}, ecsAPI, "http://one:1/")
	f(Options{Region: "eu-central-1"}, logsAPI, "http://all:1/")
	f(Options{Region: "eu-central-1", EndpointURL: "http://set:1"}, ecsAPI, "http://set:1/")
	f(Options{Region: "eu-central-1", Credentials: awstest.Keys}, ecsAPI, "http://one:1/") // also where credentials are given
	t.Setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
	f(Options{Region: "eu-central-1"}, ecsAPI, "https://ecs.eu-central-1.amazonaws.com/")
	t.Setenv("AWS_USE_FIPS_ENDPOINT", "true")
	f(Options{Region: "us-east-1"}, ecsAPI, "https://ecs-fips.us-east-1.amazonaws.com/")
}

// TestEndpoint_usual holds AWS's own addresses against those that AWS's own client knows, in every partition, with FIPS and without.
func TestEndpoint_usual(t *testing.T) {
	for _, region := range []string{"us-east-1", "eu-central-1", "us-gov-west-1", "us-gov-east-1", "cn-north-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1", "eusc-de-east-1"} {
		for _, fips := range []bool{false, true} {
			f := func(to *api, want smithyendpoints.Endpoint, err error) {
				t.Helper()
				if got := to.usual(region, fips); err != nil || got != want.URI.String() {
					t.Errorf("%s, FIPS %v: %s; AWS's own client says %s, %v", region, fips, got, want.URI.String(), err)
				}
			}
			at, err := ecs.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), ecs.EndpointParameters{Region: &region, UseFIPS: &fips, UseDualStack: new(bool)})
			f(ecsAPI, at, err)
			at, err = elb.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), elb.EndpointParameters{Region: &region, UseFIPS: &fips, UseDualStack: new(bool)})
			f(elbAPI, at, err)
			at, err = autoscaling.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), autoscaling.EndpointParameters{Region: &region, UseFIPS: &fips, UseDualStack: new(bool)})
			f(asgAPI, at, err)
			at, err = ec2.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), ec2.EndpointParameters{Region: &region, UseFIPS: &fips, UseDualStack: new(bool)})
			f(ec2API, at, err)
			at, err = applicationautoscaling.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), applicationautoscaling.EndpointParameters{Region: &region, UseFIPS: &fips, UseDualStack: new(bool)})
			f(scalingAPI, at, err)
			at, err = cloudwatchlogs.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), cloudwatchlogs.EndpointParameters{Region: &region, UseFIPS: &fips, UseDualStack: new(bool)})
			f(logsAPI, at, err)
		}
	}
}
