package app

import (
	"github.com/weir-gateway/weir/internal/fleet"
	"github.com/weir-gateway/weir/internal/host/kube"
)

// openKube adds the kube host where one is configured. What is wrong with its settings is logged, and its models say that it is missing.
func (a *App) openKube(hosts map[string]fleet.Host) {
	cfg := a.Config()
	c := &cfg.Fleet.Kube
	if c.Namespace == "" {
		return
	}
	h, err := kube.New(kube.Options{
		Kubeconfig: c.Kubeconfig, Context: c.Context, Namespace: c.Namespace, ServiceAccount: c.ServiceAccount, PullSecrets: c.PullSecrets, PullPolicy: c.PullPolicy,
		EnvironmentFrom: c.EnvironmentFrom, ModelsBucket: c.ModelsBucket, WeightsImage: c.WeightsImage, ModelsClaim: c.ModelsClaim,
		Metric: c.Scaling == "metric", Prometheus: c.Prometheus, NamePrefix: c.NamePrefix, Patience: c.Patience, Deadline: c.Deadline, Every: c.Every, Now: a.o.Now, Log: a.log,
	})
	if err != nil {
		a.log.Error("the kube host can't be used", "error", err)
		return
	}
	hosts["kube"] = h
}
