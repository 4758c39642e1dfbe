package lisa

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

// TestCreate_kube: what a model says of Kubernetes is kept and shown, and its instance type may be one of any cloud.
func TestCreate_kube(t *testing.T) {
	d := newDoor(t)
	const said = `{"workload":"leaderworkerset","size":4,"gpus":8,"gpuResource":"amd.com/gpu","cpu":"500m","memory":"1.5Ti","nodeSelector":{"pool":"big"},
		"tolerations":[{"key":"pool","operator":"Exists","effect":"NoSchedule"}],"serviceAccount":"models"}`
	d.ok("POST", "/models", strings.Replace(hosted("k"), `"instanceType":"g5.xlarge"`, `"host":"kube","instanceType":"Standard_ND96isr_H100_v5","kube":`+said, 1))
	m := d.model("k")
	var want any
	if err := json.Unmarshal([]byte(said), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, m["kube"]); diff != "" || m["instanceType"] != "Standard_ND96isr_H100_v5" {
		t.Errorf("instance type %v, kube (-want +got):\n%s", m["instanceType"], diff)
	}
	d.ok("POST", "/models", strings.Replace(hosted("none"), `"instanceType"`, `"kube":null,"instanceType"`, 1))
	if m := d.model("none"); m["kube"] != nil {
		t.Errorf("kube: %v", m["kube"])
	}
}
