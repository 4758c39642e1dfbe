package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/api/core/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/disruption"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	resourcemetrics "k8s.io/metrics/pkg/client/clientset/versioned/typed/metrics/v1beta1"
	"k8s.io/metrics/pkg/client/custom_metrics"
	"k8s.io/metrics/pkg/client/external_metrics"
)

const (
	workers = 4
	// An hour of the real cluster must pass in seconds here: what the controllers do at intervals they do every second.
	often = time.Second
)

// startControllers waits for the API server and starts the controllers that a model's objects need. They are made one by one, because
// kube-controller-manager's own program takes a third longer to build.
func startControllers(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	for {
		if _, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	go every(ctx, mapper.Reset)
	scales, err := scale.NewForConfig(config, mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(client.Discovery()))
	if err != nil {
		return err
	}
	shared := informers.NewSharedInformerFactory(client, 0)
	apps, core, policy := shared.Apps().V1(), shared.Core().V1(), shared.Policy().V1()

	deployments, err := deployment.NewDeploymentController(ctx, apps.Deployments(), apps.ReplicaSets(), core.Pods(), client)
	if err != nil {
		return err
	}
	go deployments.Run(ctx, workers)
	go replicaset.NewReplicaSetController(ctx, apps.ReplicaSets(), core.Pods(), client, replicaset.BurstReplicas).Run(ctx, workers)
	go disruption.NewDisruptionController(ctx, core.Pods(), policy.PodDisruptionBudgets(), core.ReplicationControllers(), apps.ReplicaSets(), apps.Deployments(),
		apps.StatefulSets(), client, mapper, scales, client.Discovery()).Run(ctx)
	go namespace.NewNamespaceController(ctx, client, meta, client.Discovery().ServerPreferredNamespacedResources, core.Namespaces(), time.Hour, v1.FinalizerKubernetes).Run(ctx, workers)
	accounts, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), core.ServiceAccounts(), core.Namespaces(), client, serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return err
	}
	go accounts.Run(ctx, 1)

	resources, err := resourcemetrics.NewForConfig(config)
	if err != nil {
		return err
	}
	external, err := external_metrics.NewForConfig(config)
	if err != nil {
		return err
	}
	apis := custom_metrics.NewAvailableAPIsGetter(client.Discovery())
	go custom_metrics.PeriodicallyInvalidate(apis, often, ctx.Done())
	go podautoscaler.NewHorizontalController(ctx, client.CoreV1(), scales, client.AutoscalingV2(), mapper,
		metrics.NewRESTMetricsClient(resources, custom_metrics.NewForConfig(config, mapper, apis), external),
		shared.Autoscaling().V2().HorizontalPodAutoscalers(), core.Pods(), often, often, 0.1, 0, 0).Run(ctx, 1)

	started := make(chan struct{})
	metas := metadatainformer.NewSharedInformerFactory(meta, 0)
	collector, err := garbagecollector.NewGarbageCollector(ctx, client, meta, mapper, nil, informerfactory.NewInformerFactory(shared, metas), started)
	if err != nil {
		return err
	}
	go collector.Run(ctx, workers, often)
	go collector.Sync(ctx, client.Discovery(), often)

	shared.Start(ctx.Done())
	metas.Start(ctx.Done())
	close(started)
	for kind, ok := range shared.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return fmt.Errorf("the controllers do not see the %v", kind)
		}
	}
	return nil
}

func every(ctx context.Context, do func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(often):
			do()
		}
	}
}
