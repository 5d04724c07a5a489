package pod

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"towpath.dev/towpath/internal/pipeline/pool"
)

// unpulled are the reasons for which an image does not come, and stuck all for which a
// container that waits will not begin.
var (
	unpulled = []string{"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
	stuck    = append([]string{"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}, unpulled...)
)

// state sums up how a pod is. One of whose containers has ended before the agent's has is of
// no use any more.
func state(p *corev1.Pod) pool.PodState {
	s := pool.PodState{
		Name: p.Name, Namespace: p.Namespace, Shape: p.Labels[LabelShape], Leaving: p.DeletionTimestamp != nil,
		Over: p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded || p.DeletionTimestamp != nil,
	}
	if s.Over {
		s.Why = p.Status.Message
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			s.Why = c.Message
		}
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		switch t, w := c.State.Terminated, c.State.Waiting; {
		case t != nil && (c.Name == "agent" || t.ExitCode != 0):
			if !s.Over || s.Why == "" {
				s.Why = fmt.Sprintf("container %s ended with exit code %d %s", c.Name, t.ExitCode, t.Reason)
			}
			if t.Reason == "OOMKilled" {
				s.Why = "container " + c.Name + " ran out of memory and was killed (OOMKilled)" + limit(p, c.Name)
			}
			s.Over = true
		case w != nil && slices.Contains(stuck, w.Reason):
			s.Stuck, s.Why = true, fmt.Sprintf("container %s: %s: %s", c.Name, w.Reason, w.Message)
			if slices.Contains(unpulled, w.Reason) {
				s.Next = "; check the name " + imageOf(p, c.Name) + ", that it was pushed, and that the nodes may pull it"
			}
		}
	}
	return s
}

func imageOf(p *corev1.Pod, name string) string {
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		if c.Name == name {
			return c.Image
		}
	}
	return ""
}

// limit says how much memory a container has, and how it gets more.
func limit(p *corev1.Pod, name string) string {
	for _, c := range p.Spec.Containers {
		if c.Name == name {
			return "; its limit is " + c.Resources.Limits.Memory().String() + ": raise it with options: --memory of the container, or with towpath pool edit POOL --memory"
		}
	}
	return ""
}
