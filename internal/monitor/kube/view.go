package kube

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// view is the objects of the cluster as they are now. What the platform may not list stays
// empty, and the rest works.
type view struct {
	pods, nodes, namespaces, events, services            cache.SharedIndexInformer
	deployments, replicaSets, statefulSets, daemonSets   cache.SharedIndexInformer
	jobs, cronJobs, autoscalers, quotas, claims, volumes cache.SharedIndexInformer
	kick                                                 chan struct{}
}

func newView(f informers.SharedInformerFactory) *view {
	core, apps, batch := f.Core().V1(), f.Apps().V1(), f.Batch().V1()
	return &view{
		pods: core.Pods().Informer(), nodes: core.Nodes().Informer(), namespaces: core.Namespaces().Informer(), events: core.Events().Informer(),
		services: core.Services().Informer(), quotas: core.ResourceQuotas().Informer(), claims: core.PersistentVolumeClaims().Informer(),
		volumes: core.PersistentVolumes().Informer(), deployments: apps.Deployments().Informer(), replicaSets: apps.ReplicaSets().Informer(),
		statefulSets: apps.StatefulSets().Informer(), daemonSets: apps.DaemonSets().Informer(), jobs: batch.Jobs().Informer(),
		cronJobs: batch.CronJobs().Informer(), autoscalers: f.Autoscaling().V2().HorizontalPodAutoscalers().Informer(), kick: make(chan struct{}, 1),
	}
}

// poke tells the inventory that something has changed.
func (v *view) poke() {
	select {
	case v.kick <- struct{}{}:
	default:
	}
}

func all[T any](i cache.SharedIndexInformer) []T {
	list := i.GetStore().List()
	out := make([]T, 0, len(list))
	for _, o := range list {
		if t, ok := o.(T); ok {
			out = append(out, t)
		}
	}
	return out
}

// Pods returns all pods.
func (v *view) Pods() []*corev1.Pod { return all[*corev1.Pod](v.pods) }

// Nodes returns all nodes.
func (v *view) Nodes() []*corev1.Node { return all[*corev1.Node](v.nodes) }

// servicesOf returns the names of the services that choose pods with these labels.
func servicesOf(services []*corev1.Service, namespace string, labels map[string]string) []string {
	var out []string
	for _, s := range services {
		if s.Namespace != namespace || len(s.Spec.Selector) == 0 {
			continue
		}
		chosen := true
		for k, v := range s.Spec.Selector {
			chosen = chosen && labels[k] == v
		}
		if chosen {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return out
}

// podOf returns the pod that a handler was given, nil for something else.
func podOf(o any) *corev1.Pod {
	if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	p, _ := o.(*corev1.Pod)
	return p
}

// slim drops from an object what nothing here reads, before it is kept in memory: most of
// a pod is its environment, mounts, probes and managed fields.
func slim(o any) (any, error) {
	if m, ok := o.(metav1.Object); ok {
		m.SetManagedFields(nil)
		if a := m.GetAnnotations(); a[lastApplied] != "" {
			delete(a, lastApplied)
		}
	}
	switch o := o.(type) {
	case *corev1.Pod:
		slimPod(&o.Spec)
		o.Spec.Tolerations, o.Spec.Affinity, o.Spec.TopologySpreadConstraints = nil, nil, nil
	case *corev1.Node:
		o.Status.Images, o.Status.VolumesInUse, o.Status.VolumesAttached = nil, nil, nil
	case *appsv1.Deployment:
		slimPod(&o.Spec.Template.Spec)
	case *appsv1.ReplicaSet:
		slimPod(&o.Spec.Template.Spec)
	case *appsv1.StatefulSet:
		slimPod(&o.Spec.Template.Spec)
		o.Spec.VolumeClaimTemplates = nil
	case *appsv1.DaemonSet:
		slimPod(&o.Spec.Template.Spec)
	case *batchv1.Job:
		slimPod(&o.Spec.Template.Spec)
	case *batchv1.CronJob:
		slimPod(&o.Spec.JobTemplate.Spec.Template.Spec)
	case *autoscalingv2.HorizontalPodAutoscaler:
		o.Spec.Metrics, o.Status.CurrentMetrics, o.Spec.Behavior = nil, nil, nil
	}
	return o, nil
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

func slimPod(s *corev1.PodSpec) {
	s.Volumes, s.EphemeralContainers = nil, nil
	for _, list := range [][]corev1.Container{s.Containers, s.InitContainers} {
		for i, c := range list {
			list[i] = corev1.Container{Name: c.Name, Image: c.Image, Resources: c.Resources, Ports: c.Ports, RestartPolicy: c.RestartPolicy}
		}
	}
}
