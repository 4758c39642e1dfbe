package awstest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/go-json-experiment/json"
)

// scheduler is the part of ECS that moto does not have: the loop that runs a service's tasks. It sits between the host and moto, sees services
// made and changed, and at each step moves their tasks on: they are provisioned, run, are registered in the target group (moto's own, which
// says "healthy" of what is registered), are drained and stop. A deployment rolls over with a minimum of 100% healthy; after three tasks that
// would not start the circuit breaker ends it, and goes back to the last one that was completed. Tasks, deployments and events in moto's
// answers are replaced by these; everything else is moto's. Instances are not simulated: every task finds room.
type scheduler struct {
	next http.RoundTripper
	sdk  SDK

	mu       sync.Mutex
	services map[string]*simService
	images   map[string]string // of task definitions, by ARN
	count    int

	misspelled []string // in calls of the host
}

type simService struct {
	name, group string // name, target group
	status      string
	desired     int
	deployments []*simDeployment // the primary one first
	completed   string           // task definition of the last deployment that came through
	events      []map[string]any
	tasks       []*simTask
}

type simDeployment struct {
	id, task string
	failed   int
	state    string
}

type simTask struct {
	id, task, address string
	deployment        string
	status, wanted    string
	reason            string
	healthy           bool
	created, stopped  time.Time
}

func newScheduler(next http.RoundTripper, sdk SDK) *scheduler {
	return &scheduler{next: next, sdk: sdk, services: map[string]*simService{}, images: map[string]string{}}
}

// Operation names a call of AWS: service's own name for it.
func Operation(req *http.Request, body []byte) string {
	if target := req.Header.Get("X-Amz-Target"); target != "" {
		return target[strings.LastIndexByte(target, '.')+1:]
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	return form.Get("Action")
}

// Read reads a body and closes it.
func Read(body io.ReadCloser) []byte {
	if body == nil {
		return nil
	}
	defer func() { _ = body.Close() }()
	b, _ := io.ReadAll(body)
	return b
}

// Answer makes an answer in JSON.
func Answer(req *http.Request, status int, value any) *http.Response {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req, ContentLength: int64(len(b)),
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, Body: io.NopCloser(bytes.NewReader(b))}
}

// RoundTrip is what the host's calls go through.
func (s *scheduler) RoundTrip(req *http.Request) (*http.Response, error) {
	body := Read(req.Body)
	req = req.Clone(req.Context())
	req.Body = io.NopCloser(bytes.NewReader(body))
	s.mu.Lock()
	s.misspelled = append(s.misspelled, misspelled(req, body)...)
	s.mu.Unlock()
	if !strings.Contains(req.Header.Get("X-Amz-Target"), "EC2ContainerService") {
		return s.next.RoundTrip(req)
	}
	var in map[string]any
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	op := Operation(req, body)
	svc := s.services[last(text(in, "service")+text(in, "serviceName"))]
	switch op {
	case "ListTasks":
		if svc == nil {
			return Answer(req, 400, map[string]any{"__type": "ServiceNotFoundException", "message": "Service not found."}), nil
		}
		return Answer(req, 200, svc.list(text(in, "desiredStatus"))), nil
	case "DescribeTasks":
		return Answer(req, 200, s.describe(in["tasks"].([]any))), nil
	case "CreateService":
		if svc != nil && svc.status != "INACTIVE" {
			return Answer(req, 400, map[string]any{"__type": "InvalidParameterException", "message": "Creation of service was not idempotent."}), nil
		}
	}
	resp, err := s.next.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	var out map[string]any
	if err := json.Unmarshal(Read(resp.Body), &out); err != nil {
		return nil, err
	}
	s.seen(op, in, out)
	for _, one := range append(list(out, "services"), out["service"]) {
		if one, ok := one.(map[string]any); ok {
			if svc := s.services[text(one, "serviceName")]; svc != nil {
				svc.show(one)
			}
		}
	}
	return Answer(req, 200, out), nil
}

// seen takes note of what a call that moto carried out means for the tasks.
func (s *scheduler) seen(op string, in, out map[string]any) {
	switch op {
	case "RegisterTaskDefinition":
		def := out["taskDefinition"].(map[string]any)
		image := list(def, "containerDefinitions")[0].(map[string]any)
		s.images[text(def, "taskDefinitionArn")] = text(image, "image")
	case "CreateService":
		name := text(in, "serviceName")
		svc := &simService{name: name, status: "ACTIVE", desired: int(in["desiredCount"].(float64))}
		svc.group = text(list(in, "loadBalancers")[0].(map[string]any), "targetGroupArn")
		svc.deploy(s, text(in, "taskDefinition"))
		s.services[name] = svc
	case "UpdateService":
		svc := s.services[last(text(in, "service"))]
		if n, ok := in["desiredCount"].(float64); ok {
			svc.desired = int(n)
		}
		if to := text(in, "taskDefinition"); to != "" && to != svc.deployments[0].task {
			svc.deploy(s, to)
		} else if force, _ := in["forceNewDeployment"].(bool); force {
			svc.deploy(s, svc.deployments[0].task)
		}
		if lbs := list(in, "loadBalancers"); len(lbs) > 0 {
			svc.group = text(lbs[0].(map[string]any), "targetGroupArn")
		}
	case "DeleteService":
		if svc := s.services[last(text(in, "service"))]; svc != nil {
			svc.status, svc.desired = "DRAINING", 0
		}
	}
}

func (v *simService) deploy(s *scheduler, task string) {
	s.count++
	v.deployments = append([]*simDeployment{{id: fmt.Sprintf("ecs-svc/%d", s.count), task: task, state: "IN_PROGRESS"}}, v.deployments...)
}

// show puts what the scheduler knows into a service of moto's answer.
func (v *simService) show(out map[string]any) {
	out["status"], out["desiredCount"], out["taskDefinition"] = v.status, v.desired, v.deployments[0].task
	var all []any
	for i, d := range v.deployments {
		status := "ACTIVE"
		if i == 0 {
			status = "PRIMARY"
		}
		one := map[string]any{"id": d.id, "status": status, "taskDefinition": d.task, "desiredCount": v.desired, "failedTasks": d.failed, "rolloutState": d.state}
		if d.state == "FAILED" {
			one["rolloutStateReason"] = "ECS deployment circuit breaker: tasks failed to start."
		}
		all = append(all, one)
	}
	out["deployments"], out["events"] = all, v.events
}

func (v *simService) list(status string) map[string]any {
	arns := []string{}
	for _, t := range v.tasks {
		if t.wanted == status {
			arns = append(arns, t.arn())
		}
	}
	return map[string]any{"taskArns": arns}
}

func (t *simTask) arn() string { return "arn:aws:ecs:eu-central-1:123456789012:task/models/" + t.id }

func (s *scheduler) describe(arns []any) map[string]any {
	out := []any{}
	for _, v := range s.services {
		for _, t := range v.tasks {
			for _, arn := range arns {
				if arn != t.arn() {
					continue
				}
				one := map[string]any{"taskArn": t.arn(), "taskDefinitionArn": t.task, "lastStatus": t.status, "desiredStatus": t.wanted, "createdAt": float64(t.created.UnixMilli()) / 1000,
					"attachments": []any{map[string]any{"type": "ElasticNetworkInterface", "details": []any{map[string]any{"name": "privateIPv4Address", "value": t.address}}}}}
				if t.status == "STOPPED" {
					one["stoppedAt"], one["stoppedReason"] = float64(t.stopped.UnixMilli())/1000, t.reason
				}
				out = append(out, one)
			}
		}
	}
	return map[string]any{"tasks": out}
}

// Running counts the tasks of a service that have not stopped.
func (s *scheduler) Running(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	if v := s.services[name]; v != nil {
		for _, t := range v.tasks {
			if t.status != "STOPPED" {
				n++
			}
		}
	}
	return n
}

// Kill ends a healthy task as a machine that is lost would.
func (s *scheduler) Kill(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.services[name].tasks {
		if t.healthy {
			s.register(s.services[name], t, false)
			t.status, t.wanted, t.stopped, t.reason = "STOPPED", "STOPPED", time.Now(), "Host EC2 (instance i-0123) terminated."
			return
		}
	}
}

// Step moves everything on a little.
func (s *scheduler) Step() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.services {
		if v.status != "INACTIVE" {
			s.advance(v)
		}
	}
}

func (s *scheduler) advance(v *simService) {
	now := v.deployments[0]
	current, healthy, alive := 0, 0, 0
	for _, t := range v.tasks {
		s.move(v, t)
		if t.status == "STOPPED" || t.wanted == "STOPPED" {
			if t.status != "STOPPED" {
				alive++
			}
			continue
		}
		alive++
		if t.deployment == now.id {
			current++
		}
		if t.healthy {
			healthy++
		}
	}
	if now.failed >= 3 && now.state == "IN_PROGRESS" {
		now.state = "FAILED"
		v.events = append([]map[string]any{{"id": now.id, "createdAt": float64(time.Now().UnixMilli()) / 1000,
			"message": fmt.Sprintf("(service %s) (deployment %s) deployment failed: tasks failed to start.", v.name, now.id)}}, v.events...)
		if v.completed != "" {
			v.deploy(s, v.completed)
			v.deployments = []*simDeployment{v.deployments[0]}
			for _, t := range v.tasks { // what still runs of it goes on as part of it
				if t.task == v.completed {
					t.deployment = v.deployments[0].id
				}
			}
		}
		return
	}
	for ; current < v.desired && now.state != "FAILED" && alive < 2*max(v.desired, 1); current, alive = current+1, alive+1 {
		s.count++
		v.tasks = append(v.tasks, &simTask{id: fmt.Sprintf("%032d", s.count), task: now.task, deployment: now.id, status: "PROVISIONING", wanted: "RUNNING", created: time.Now(),
			address: fmt.Sprintf("10.0.%d.%d", s.count/250, s.count%250+4)})
	}
	up := 0
	for i := len(v.tasks) - 1; i >= 0; i-- { // the youngest first
		t := v.tasks[i]
		old := t.deployment != now.id
		switch {
		case t.wanted == "STOPPED":
		case old && (healthy > v.desired || v.desired == 0 || !t.healthy), !old && current > v.desired:
			if t.healthy {
				healthy--
			}
			if !old {
				current--
			}
			s.register(v, t, false)
			t.wanted, t.status, t.reason = "STOPPED", "DEACTIVATING", "Scaling activity initiated by deployment "+now.id
		case !old && t.healthy:
			up++
		}
	}
	if up == v.desired && v.desired > 0 && now.state == "IN_PROGRESS" && alive == v.desired {
		now.state, v.completed, v.deployments = "COMPLETED", now.task, []*simDeployment{now}
	}
	if v.status == "DRAINING" && alive == 0 {
		v.status = "INACTIVE"
	}
}

// move takes one task a step further.
func (s *scheduler) move(v *simService, t *simTask) {
	switch {
	case t.status == "DEACTIVATING":
		t.status, t.stopped = "STOPPED", time.Now()
	case t.status == "PROVISIONING" && strings.Contains(s.images[t.task], "broken"):
		t.status, t.wanted, t.stopped, t.reason = "STOPPED", "STOPPED", time.Now(), "CannotPullContainerError: pull access denied for broken"
		for _, d := range v.deployments {
			if d.id == t.deployment {
				d.failed++
			}
		}
	case t.status == "PROVISIONING":
		t.status = "RUNNING"
		s.say(v, t)
	case t.status == "RUNNING" && !t.healthy:
		s.register(v, t, true)
	}
}

// register enters a task in the target group, or takes it out, as ECS does.
func (s *scheduler) register(v *simService, t *simTask, up bool) {
	targets := []elbtypes.TargetDescription{{Id: &t.address, Port: aws.Int32(8080)}}
	var err error
	if up {
		_, err = s.sdk.ELB.RegisterTargets(context.Background(), &elb.RegisterTargetsInput{TargetGroupArn: &v.group, Targets: targets})
	} else {
		_, err = s.sdk.ELB.DeregisterTargets(context.Background(), &elb.DeregisterTargetsInput{TargetGroupArn: &v.group, Targets: targets})
	}
	t.healthy = up && err == nil
}

// say writes what a server says when it is up.
func (s *scheduler) say(v *simService, t *simTask) {
	ctx, group, stream := context.Background(), aws.String("/weir/models/"+v.name), aws.String("g1/model/"+t.id)
	if _, err := s.sdk.Logs.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: group, LogStreamName: stream}); err == nil {
		_, _ = s.sdk.Logs.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: group, LogStreamName: stream,
			LogEvents: []logtypes.InputLogEvent{{Timestamp: aws.Int64(time.Now().UnixMilli()), Message: aws.String("the model is loaded")}}})
	}
}

func text(m map[string]any, key string) string { s, _ := m[key].(string); return s }
func list(m map[string]any, key string) []any  { l, _ := m[key].([]any); return l }
func last(path string) string                  { return path[strings.LastIndexByte(path, '/')+1:] }

// Healthy counts the tasks of a service that the load balancer sends calls to.
func (s *scheduler) Healthy(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	if v := s.services[name]; v != nil {
		for _, t := range v.tasks {
			if t.healthy {
				n++
			}
		}
	}
	return n
}
