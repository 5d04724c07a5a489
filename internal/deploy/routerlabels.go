package deploy

import (
	"context"
	"fmt"
	"maps"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/fault"
)

// applyRouter applies the objects of a router. Where a rule refuses it that wants labels on
// pods, it is tried again with those that all pods of the namespace's workloads have: what
// satisfies the rule there satisfies it here.
func applyRouter(ctx context.Context, c kubernetes.Interface, env Environment, image string, replicas int) error {
	err := apply(ctx, c, routerManager, routerObjects(env, image, replicas))
	if !fault.Is(err, fault.Denied) {
		return err
	}
	labels, lerr := labelsInCommon(ctx, c, env.Namespace)
	if lerr != nil || len(labels) == 0 {
		return err
	}
	list := routerObjects(env, image, replicas)
	for _, o := range list {
		for _, m := range []map[string]any{child(o.body, "metadata"), podMeta(o.body)} {
			if m == nil {
				continue
			}
			all := maps.Clone(child(m, "labels"))
			for k, v := range labels {
				if _, own := all[k]; !own {
					all[k] = v
				}
			}
			m["labels"] = all
		}
	}
	return apply(ctx, c, routerManager, list)
}

// podMeta is the metadata of the pods of an object, nil when it has none.
func podMeta(o map[string]any) map[string]any {
	if kindOf(o) != "Deployment" {
		return nil
	}
	return child(child(child(o, "spec"), "template"), "metadata")
}

// labelsInCommon reads the labels that all pods of the Deployments of a namespace have.
func labelsInCommon(ctx context.Context, c kubernetes.Interface, namespace string) (map[string]string, error) {
	workloads, err := c.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing deployments of %s: %w", namespace, err)
	}
	services, err := c.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing services of %s: %w", namespace, err)
	}
	policies, err := c.NetworkingV1().NetworkPolicies(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing network policies of %s: %w", namespace, err)
	}
	var pods, selectors []map[string]string
	for _, d := range workloads.Items {
		if d.Name == routerName {
			continue
		}
		pods = append(pods, d.Spec.Template.Labels)
		if d.Spec.Selector != nil {
			selectors = append(selectors, d.Spec.Selector.MatchLabels)
		}
	}
	for _, s := range services.Items {
		selectors = append(selectors, s.Spec.Selector)
	}
	for _, p := range policies.Items {
		selectors = append(selectors, selectorsOf(p)...)
	}
	return shared(pods, selectors), nil
}

func selectorsOf(p networkingv1.NetworkPolicy) []map[string]string {
	out := []map[string]string{p.Spec.PodSelector.MatchLabels}
	add := func(peers []networkingv1.NetworkPolicyPeer) {
		for _, peer := range peers {
			if peer.PodSelector != nil {
				out = append(out, peer.PodSelector.MatchLabels)
			}
		}
	}
	for _, r := range p.Spec.Ingress {
		add(r.From)
	}
	for _, r := range p.Spec.Egress {
		add(r.To)
	}
	return out
}

// shared are the labels that all pods have with one value, without those that anything selects
// by: the router must not be taken for one of the workloads.
func shared(pods, selectors []map[string]string) map[string]string {
	if len(pods) == 0 {
		return nil
	}
	out := maps.Clone(pods[0])
	for _, p := range pods[1:] {
		maps.DeleteFunc(out, func(k, v string) bool { return p[k] != v })
	}
	for _, s := range selectors {
		maps.DeleteFunc(out, func(k, _ string) bool { _, selects := s[k]; return selects })
	}
	maps.DeleteFunc(out, func(k, _ string) bool {
		return strings.HasPrefix(k, "app.kubernetes.io/") || strings.HasPrefix(k, "helm.sh/") || strings.HasPrefix(k, "towpath.dev/") || strings.HasPrefix(k, "azure-pipelines/")
	})
	return out
}
