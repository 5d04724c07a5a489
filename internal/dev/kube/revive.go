package kube

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"towpath.dev/towpath/internal/dev"
)

// maxPods bounds how many session pods are listed at once.
const maxPods = 5000

// Fields returns what the downward API would tell the session's pod of itself.
func (p *Pods) Fields(ctx context.Context, s dev.Session) (map[string]string, error) {
	c, _, err := p.client(ctx)
	if err != nil {
		return nil, err
	}
	pod, err := c.CoreV1().Pods(s.Namespace).Get(ctx, name(s), metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the pod of session %s: %w", s.ID, err)
	}
	var pods, hosts []string
	for _, ip := range pod.Status.PodIPs {
		pods = append(pods, ip.IP)
	}
	for _, ip := range pod.Status.HostIPs {
		hosts = append(hosts, ip.IP)
	}
	return map[string]string{
		"metadata.name": pod.Name, "metadata.uid": string(pod.UID), "spec.nodeName": pod.Spec.NodeName,
		"status.podIP": pod.Status.PodIP, "status.podIPs": strings.Join(pods, ","),
		"status.hostIP": pod.Status.HostIP, "status.hostIPs": strings.Join(hosts, ","),
	}, nil
}

// Revive makes the session's pod anew when it has ended or is gone.
func (p *Pods) Revive(ctx context.Context, s dev.Session) (string, error) {
	c, _, err := p.client(ctx)
	if err != nil {
		return "", err
	}
	pods := c.CoreV1().Pods(s.Namespace)
	pod, err := pods.Get(ctx, name(s), metav1.GetOptions{})
	switch {
	case err == nil && !over(pod):
		return p.await(ctx, c, s)
	case err == nil:
		uid := pod.UID
		del := deleteNow
		del.Preconditions = &metav1.Preconditions{UID: (*types.UID)(&uid)}
		if err := pods.Delete(ctx, pod.Name, del); err != nil && !apierrors.IsNotFound(err) {
			return "", fmt.Errorf("removing the ended pod of session %s: %w", s.ID, err)
		}
	case !apierrors.IsNotFound(err):
		return "", fmt.Errorf("reading the pod of session %s: %w", s.ID, err)
	}
	image, err := p.images.Agent(ctx)
	if err != nil {
		return "", fmt.Errorf("finding the agent's image: %w", err)
	}
	return p.run(ctx, c, s, image)
}

// over reports whether nothing runs in a pod any more, nor will.
func over(p *corev1.Pod) bool {
	return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// Hosts lists the session pods of all namespaces.
func (p *Pods) Hosts(ctx context.Context) (map[string]string, error) {
	c, _, err := p.client(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: LabelSession, Limit: maxPods})
	if err != nil {
		return nil, fmt.Errorf("listing the pods of sessions: %w", err)
	}
	out := map[string]string{}
	for i := range all.Items {
		if pod := &all.Items[i]; ready(pod) && !over(pod) {
			out[strings.ToUpper(pod.Labels[LabelSession])] = pod.Status.PodIP
		}
	}
	return out, nil
}
