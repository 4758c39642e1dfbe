package lisa

import (
	"regexp"
	"strconv"

	"github.com/weir-gateway/weir/internal/fleet"
)

// Beyond LISA's: what a model on Kubernetes may say.

var (
	quantity = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?(m|k|Ki|[MGTPE]i?)?$`)
	// A label's value, which is what the instance types of other clouds must be there.
	labelValue = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
)

// kube reads the model's fields of Kubernetes; nil if there are none.
func (o object) kube() *fleet.Kube {
	c, ok := o.child("kube", false)
	if !ok {
		return nil
	}
	k := &fleet.Kube{
		Workload: value(c.choice("workload", false, "deployment", "kserve", "leaderworkerset")), Size: value(c.number("size", false, 2)), GPUs: c.number("gpus", false, 0),
		GPUResource: value(c.text("gpuResource", false)), CPU: c.quantity("cpu"), Memory: c.quantity("memory"), ServiceAccount: value(c.text("serviceAccount", false)),
	}
	if k.Size > 0 && k.Workload != "leaderworkerset" {
		c.breaks(c.at+"size", "Only a leaderworkerset has a size.")
	}
	if labels, ok := c.child("nodeSelector", false); ok {
		k.NodeSelector = map[string]string{}
		for name := range labels.members {
			k.NodeSelector[name] = value(labels.text(name, true))
		}
	}
	values, _ := c.list("tolerations")
	for i, v := range values {
		at := "tolerations." + strconv.Itoa(i)
		if v.Kind() != '{' {
			c.breaks(c.at+at, "Input should be a valid object")
			continue
		}
		t := c.inside(at, v)
		k.Tolerations = append(k.Tolerations, fleet.Toleration{Key: value(t.text("key", false)), Operator: value(t.choice("operator", false, "Exists", "Equal")),
			Value: value(t.text("value", false)), Effect: value(t.choice("effect", false, "NoSchedule", "PreferNoSchedule", "NoExecute"))})
	}
	return k
}

func (o object) quantity(name string) string {
	s := value(o.text(name, false))
	if s != "" && !quantity.MatchString(s) {
		o.breaks(o.at+name, "Input should be a quantity of Kubernetes: 4, 500m, 64Gi")
	}
	return s
}
