package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/deploy/route"
	"towpath.dev/towpath/internal/fault"
)

// sample asks the routers what they counted and the pods how they are.
func (s *Service) sample(ctx context.Context, c kubernetes.Interface, namespace string, t *trial) ([]canary.Sample, error) {
	pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: routerApp + "=" + routerName})
	if err != nil {
		return nil, fmt.Errorf("listing routers: %w", err)
	}
	asked := 0
	for i := range pods.Items {
		p := &pods.Items[i]
		if word, _ := condition(p); word != "ready" || p.DeletionTimestamp != nil {
			continue
		}
		text, err := askRouter(ctx, c, p, "metrics")
		if err != nil {
			return nil, err
		}
		seen, err := canary.Scrape(text)
		if err != nil {
			return nil, err
		}
		t.Counter.Add(string(p.UID), seen, p.CreationTimestamp.After(t.View.Started))
		asked++
	}
	if asked == 0 {
		return nil, fault.New(fault.Unavailable, "No pod of the router is ready.")
	}
	health, err := s.health(ctx, c, namespace, t)
	if err != nil {
		return nil, err
	}
	var out []canary.Sample
	for _, service := range t.View.Services {
		v := t.Counter.Sums[service]
		v.Service = service
		v.CanaryHealth, v.BaselineHealth = health[canary.Key{Service: service, Track: route.Canary}], health[canary.Key{Service: service, Track: route.Baseline}]
		out = append(out, v)
	}
	return out, nil
}

// health counts restarts and kills of the pods of each track, by service.
func (s *Service) health(ctx context.Context, c kubernetes.Interface, namespace string, t *trial) (map[canary.Key]canary.Health, error) {
	list, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: route.Label + " in (" + route.Canary + "," + route.Baseline + ")"})
	if err != nil {
		return nil, fmt.Errorf("listing pods of the canary: %w", err)
	}
	out := map[canary.Key]canary.Health{}
	for _, p := range list.Items {
		track := p.Labels[route.Label]
		i := slices.IndexFunc(t.Plan, func(w workload) bool {
			return slices.ContainsFunc(p.OwnerReferences, func(o metav1.OwnerReference) bool {
				return strings.HasPrefix(o.Name, trackWorkload(w.Name, track)+"-")
			})
		})
		if i < 0 {
			continue
		}
		for _, st := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			for _, service := range t.Plan[i].Services {
				k := canary.Key{Service: service, Track: track}
				h := out[k]
				h.Restarts += int(st.RestartCount)
				if killed(st) {
					h.OOM++
				}
				out[k] = h
			}
		}
	}
	return out, nil
}

func killed(s corev1.ContainerStatus) bool {
	for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
		if t != nil && t.Reason == "OOMKilled" {
			return true
		}
	}
	return false
}
