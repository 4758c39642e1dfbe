package kube

import (
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/host/stock"
)

// The labels of everything that is made. A label can't hold every id: it holds the model's name here, and an annotation the id.
const (
	labelModel      = "weir/model"
	labelOwner      = "weir/owner"
	labelGeneration = "weir/generation"
	labelManaged    = "app.kubernetes.io/managed-by"

	annotationModel    = "weir/model-id"
	annotationReplicas = "weir/replicas" // of a workload: what was last asked for
)

const (
	maxPrefix = 10
	maxName   = 40 // a Service's may have 63, and pods add to it
)

func validPrefix(p string) bool {
	if p == "" || len(p) > maxPrefix || p[0] < 'a' || p[0] > 'z' || p[len(p)-1] == '-' {
		return false
	}
	return strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// nameOf is the name of everything of a model.
func (h *Host) nameOf(id string) string { return stock.Name(h.o.NamePrefix, id, maxName) }

// labels are a model's own; those of pods are of a generation, too.
func (w *work) labels() map[string]any {
	return map[string]any{labelModel: w.name, labelOwner: w.o.NamePrefix, labelManaged: "weir"}
}

func (w *work) generationLabels(generation int64) map[string]any {
	out := w.labels()
	out[labelGeneration] = strconv.FormatInt(generation, 10)
	return out
}

// chosen selects what is of the model.
func (w *work) chosen() string {
	return labelModel + "=" + w.name + "," + labelOwner + "=" + w.o.NamePrefix
}

// selector is the same, as objects say it.
func (w *work) selector() map[string]any {
	return map[string]any{labelModel: w.name, labelOwner: w.o.NamePrefix}
}
