package awstest

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/applicationautoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/go-json-experiment/json"
)

// inputs are what AWS's own client takes for the calls that the host makes. moto ignores names that it does not know; AWS ignores or refuses
// them. So whatever the tests make the host say is held against these.
var inputs = func() map[string]reflect.Type {
	all := map[string]reflect.Type{}
	for _, one := range []any{
		ecs.CreateCapacityProviderInput{}, ecs.CreateServiceInput{}, ecs.DeleteCapacityProviderInput{}, ecs.DeleteServiceInput{}, ecs.DeleteTaskDefinitionsInput{},
		ecs.DeregisterTaskDefinitionInput{}, ecs.DescribeCapacityProvidersInput{}, ecs.DescribeClustersInput{}, ecs.DescribeServicesInput{}, ecs.DescribeTaskDefinitionInput{},
		ecs.DescribeTasksInput{}, ecs.ListServicesInput{}, ecs.ListTaskDefinitionsInput{}, ecs.ListTasksInput{}, ecs.PutClusterCapacityProvidersInput{},
		ecs.RegisterTaskDefinitionInput{}, ecs.TagResourceInput{}, ecs.UpdateCapacityProviderInput{}, ecs.UpdateServiceInput{},
		elb.CreateListenerInput{}, elb.CreateLoadBalancerInput{}, elb.CreateRuleInput{}, elb.CreateTargetGroupInput{}, elb.DeleteLoadBalancerInput{}, elb.DeleteRuleInput{},
		elb.DeleteTargetGroupInput{}, elb.DescribeListenersInput{}, elb.DescribeLoadBalancerAttributesInput{}, elb.DescribeLoadBalancersInput{}, elb.DescribeRulesInput{},
		elb.DescribeTagsInput{}, elb.DescribeTargetGroupAttributesInput{}, elb.DescribeTargetGroupsInput{}, elb.DescribeTargetHealthInput{}, elb.ModifyListenerInput{},
		elb.ModifyLoadBalancerAttributesInput{}, elb.ModifyRuleInput{}, elb.ModifyTargetGroupAttributesInput{}, elb.ModifyTargetGroupInput{},
		autoscaling.CreateAutoScalingGroupInput{}, autoscaling.DeleteAutoScalingGroupInput{}, autoscaling.DescribeAutoScalingGroupsInput{},
		autoscaling.SetDesiredCapacityInput{}, autoscaling.UpdateAutoScalingGroupInput{},
		ec2.CreateLaunchTemplateInput{}, ec2.CreateLaunchTemplateVersionInput{}, ec2.DeleteLaunchTemplateInput{}, ec2.DescribeInstanceTypesInput{}, ec2.DescribeLaunchTemplateVersionsInput{}, ec2.DescribeLaunchTemplatesInput{},
		applicationautoscaling.DeregisterScalableTargetInput{}, applicationautoscaling.DescribeScalableTargetsInput{}, applicationautoscaling.DescribeScalingPoliciesInput{},
		applicationautoscaling.PutScalingPolicyInput{}, applicationautoscaling.RegisterScalableTargetInput{},
		cloudwatchlogs.CreateLogGroupInput{}, cloudwatchlogs.DeleteLogGroupInput{}, cloudwatchlogs.DescribeLogGroupsInput{}, cloudwatchlogs.DescribeLogStreamsInput{},
		cloudwatchlogs.GetLogEventsInput{}, cloudwatchlogs.ListTagsForResourceInput{}, cloudwatchlogs.PutRetentionPolicyInput{},
	} {
		t := reflect.TypeOf(one)
		all[strings.TrimSuffix(t.Name(), "Input")] = t
	}
	return all
}()

// misspelled tells what a call says that AWS's own client would not.
func misspelled(req *http.Request, body []byte) []string {
	op := Operation(req, body)
	input, ok := inputs[op]
	if !ok {
		return []string{"a call that nobody holds against AWS's own client: " + op}
	}
	target := req.Header.Get("X-Amz-Target")
	if target == "" {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return []string{err.Error()}
		}
		var out []string
		for name := range form {
			if name != "Action" && name != "Version" {
				out = append(out, unlike(input, op, nested(strings.Split(strings.ReplaceAll(name, ".member.", "."), ".")), unchanged)...)
			}
		}
		return out
	}
	var in any
	if err := json.Unmarshal(body, &in); err != nil {
		return []string{err.Error()}
	}
	spell := lower
	if strings.HasPrefix(target, "AnyScaleFrontendService.") {
		spell = unchanged
	}
	return unlike(input, op, in, spell)
}

// formed stands for a value in a form, where all are text.
type formed struct{}

// nested is what a name in a form says, without where in lists.
func nested(path []string) any {
	if len(path) == 0 {
		return formed{}
	}
	if strings.Trim(path[0], "0123456789") == "" {
		return []any{nested(path[1:])}
	}
	return map[string]any{path[0]: nested(path[1:])}
}

func unchanged(field string) string { return field }

func lower(field string) string {
	r, n := utf8.DecodeRuneInString(field)
	return string(unicode.ToLower(r)) + field[n:]
}

// ofEC2 reports whether a call is one of EC2's: its forms name lists in the singular, its client in the plural.
func ofEC2(at string) bool {
	op, _, _ := strings.Cut(at, ".")
	return strings.Contains(inputs[op].PkgPath(), "/ec2")
}

// odd are other names in forms of EC2 that its client has otherwise.
var odd = map[string]string{"LaunchTemplateVersion": "Versions"}

// unlike compares names and kinds of values with a type of the client's.
func unlike(t reflect.Type, at string, v any, spell func(string) string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	wrong := []string{fmt.Sprintf("%s: %T where AWS's own client has %s", at, v, t)}
	switch v := v.(type) {
	case map[string]any:
		if t.Kind() == reflect.Map {
			return nil
		}
		if t.Kind() != reflect.Struct {
			return wrong
		}
		var out []string
		for name, value := range v {
			field, ok := t.FieldByNameFunc(func(f string) bool {
				return spell(f) == name || ofEC2(at) && (f == name+"s" || f == odd[name])
			})
			if !ok {
				out = append(out, at+" has no "+name)
				continue
			}
			out = append(out, unlike(field.Type, at+"."+name, value, spell)...)
		}
		return out
	case []any:
		if t.Kind() != reflect.Slice {
			return wrong
		}
		var out []string
		for _, one := range v {
			out = append(out, unlike(t.Elem(), at, one, spell)...)
		}
		return out
	case formed:
		if t.Kind() == reflect.Struct || t.Kind() == reflect.Slice {
			return wrong
		}
	case string:
		if t.Kind() != reflect.String {
			return wrong
		}
	case bool:
		if t.Kind() != reflect.Bool {
			return wrong
		}
	case float64:
		if !reflect.TypeOf(v).ConvertibleTo(t) || t.Kind() == reflect.String {
			return wrong
		}
	}
	return nil
}
