package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// How long a pod may be unable to start before waiting longer is pointless, and how
// often it may crash. Some programs crash until what they need is there: the fourth
// crash comes about a minute after the first, as the kubelet waits ever longer.
const (
	pullGrace  = 20 * time.Second
	maxCrashes = 4
)

// rollout watches the pods of a namespace while a release is applied: it says what
// happens, and ends the wait when a pod cannot ever become ready.
type rollout struct {
	client    kubernetes.Interface
	namespace string
	say       func(format string, args ...any)
	cancel    context.CancelCauseFunc

	mu   sync.Mutex
	old  map[types.UID]bool // pods that were there before
	last map[types.UID]string
	bad  map[types.UID]time.Time // when a pod was first seen unable to start
}

// watch begins to watch; it ends with ctx.
func (r *rollout) watch(ctx context.Context) error {
	list, err := r.client.CoreV1().Pods(r.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing pods of %s: %w", r.namespace, err)
	}
	r.old, r.last, r.bad = map[types.UID]bool{}, map[types.UID]string{}, map[types.UID]time.Time{}
	for _, p := range list.Items {
		r.old[p.UID] = true
	}
	go follow(ctx, list.ResourceVersion, r.client.CoreV1().Pods(r.namespace).Watch, metav1.ListOptions{}, func(pod *corev1.Pod) { r.see(pod, time.Now()) })
	return nil
}

func (r *rollout) see(pod *corev1.Pod, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.old[pod.UID] || pod.DeletionTimestamp != nil {
		return
	}
	word, hopeless := condition(pod)
	if r.last[pod.UID] != word {
		r.last[pod.UID] = word
		r.say("pod %s: %s", pod.Name, word)
	}
	if !hopeless {
		delete(r.bad, pod.UID)
		return
	}
	since, ok := r.bad[pod.UID]
	if !ok {
		r.bad[pod.UID] = now
		since = now
	}
	if now.Sub(since) >= pullGrace || strings.Contains(word, "crashed") {
		r.cancel(fmt.Errorf("pod %s: %s", pod.Name, word))
	}
}

// condition says in a few words how a pod is, and whether it cannot start as it is.
func condition(pod *corev1.Pod) (word string, hopeless bool) {
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if s.State.Waiting == nil {
			continue
		}
		switch s.State.Waiting.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
			return s.State.Waiting.Reason + ": " + firstLine(s.State.Waiting.Message), true
		case "CrashLoopBackOff":
			// It waits for its next start, so it crashed once more than it was restarted.
			if crashes := s.RestartCount + 1; crashes >= maxCrashes {
				return fmt.Sprintf("container %s crashed %d times%s", s.Name, crashes, lastExit(s)), true
			}
			return fmt.Sprintf("container %s crashed%s, starting again", s.Name, lastExit(s)), false
		}
	}
	for _, s := range pod.Status.ContainerStatuses {
		if t := s.State.Terminated; t != nil && t.ExitCode != 0 {
			return fmt.Sprintf("container %s ended%s", s.Name, exit(t)), false
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return "ready", false
		}
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return "cannot be scheduled: " + firstLine(c.Message), false
		}
	}
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Running != nil && !s.Ready {
			if killed(s) {
				return fmt.Sprintf("running, not ready yet: container %s ended before%s", s.Name, lastExit(s)), false
			}
			return "running, not ready yet", false
		}
	}
	return strings.ToLower(string(pod.Status.Phase)), false
}

func lastExit(s corev1.ContainerStatus) string {
	if t := s.LastTerminationState.Terminated; t != nil {
		return exit(t)
	}
	return ""
}

// exit says how a container ended, with the reason when it was killed for its memory.
func exit(t *corev1.ContainerStateTerminated) string {
	if t.Reason == "OOMKilled" {
		return fmt.Sprintf(" (OOMKilled, exit code %d)", t.ExitCode)
	}
	return fmt.Sprintf(" (exit code %d)", t.ExitCode)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return s
}

// why explains a release that did not become ready, from the pods and their warnings.
func why(ctx context.Context, c kubernetes.Interface, namespace string, old map[types.UID]bool) string {
	pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return ""
	}
	for _, p := range pods.Items {
		if old[p.UID] || p.DeletionTimestamp != nil {
			continue
		}
		word, _ := condition(&p)
		if word == "ready" {
			continue
		}
		events, err := c.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
			FieldSelector: "involvedObject.uid=" + string(p.UID) + ",type=Warning",
		})
		if err == nil && len(events.Items) > 0 {
			slices.SortFunc(events.Items, func(a, b corev1.Event) int { return a.LastTimestamp.Compare(b.LastTimestamp.Time) })
			return fmt.Sprintf("pod %s: %s; %s", p.Name, word, firstLine(events.Items[len(events.Items)-1].Message))
		}
		return fmt.Sprintf("pod %s: %s", p.Name, word)
	}
	return ""
}

// podsOf returns the pods that belong to the current generation of the workloads
// named, without those that are on their way out.
func podsOf(ctx context.Context, c kubernetes.Interface, namespace string, kinds []object) ([]Pod, error) {
	owners := map[types.UID]bool{}
	sets, err := c.AppsV1().ReplicaSets(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing replica sets of %s: %w", namespace, err)
	}
	for _, o := range kinds {
		if err := addOwners(ctx, c, namespace, o, sets.Items, owners); err != nil {
			return nil, err
		}
	}
	list, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing pods of %s: %w", namespace, err)
	}
	var out []Pod
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil && slices.ContainsFunc(p.OwnerReferences, func(r metav1.OwnerReference) bool { return owners[r.UID] }) {
			out = append(out, podOf(&p))
		}
	}
	slices.SortFunc(out, func(a, b Pod) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func addOwners(ctx context.Context, c kubernetes.Interface, namespace string, o object, sets []appsv1.ReplicaSet, owners map[types.UID]bool) error {
	var err error
	switch o.Kind {
	case "Deployment":
		var d *appsv1.Deployment
		if d, err = c.AppsV1().Deployments(namespace).Get(ctx, o.Name, metav1.GetOptions{}); err == nil {
			const revision = "deployment.kubernetes.io/revision"
			for _, s := range sets {
				if metav1.IsControlledBy(&s, d) && s.Annotations[revision] == d.Annotations[revision] {
					owners[s.UID] = true
				}
			}
		}
	case "StatefulSet":
		var s *appsv1.StatefulSet
		if s, err = c.AppsV1().StatefulSets(namespace).Get(ctx, o.Name, metav1.GetOptions{}); err == nil {
			owners[s.UID] = true
		}
	case "DaemonSet":
		var s *appsv1.DaemonSet
		if s, err = c.AppsV1().DaemonSets(namespace).Get(ctx, o.Name, metav1.GetOptions{}); err == nil {
			owners[s.UID] = true
		}
	}
	if err != nil {
		return fmt.Errorf("reading %s %s: %w", o.Kind, o.Name, err)
	}
	return nil
}

func podOf(p *corev1.Pod) Pod {
	out := Pod{UID: string(p.UID), Name: p.Name}
	seen := map[string]bool{}
	for _, s := range p.Status.ContainerStatuses {
		out.Restarts += int(s.RestartCount)
		// imageID is what really runs; the spec says what was asked for.
		for _, ref := range []string{s.ImageID, s.Image} {
			if _, d, ok := strings.Cut(ref, "@"); ok && !seen[d] {
				seen[d] = true
				out.Images = append(out.Images, d)
				break
			}
		}
	}
	for _, c := range p.Spec.Containers {
		if _, d, ok := strings.Cut(c.Image, "@"); ok && !seen[d] {
			seen[d] = true
			out.Images = append(out.Images, d)
		}
	}
	word, _ := condition(p)
	out.Ready = word == "ready"
	if !out.Ready {
		out.Why = word
	}
	return out
}
