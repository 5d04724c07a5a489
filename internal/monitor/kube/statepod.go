package kube

import (
	"cmp"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pod writes the series of a pod ("pod-metrics.md" of kube-state-metrics).
func (s *series) pod(p *corev1.Pod) {
	ls := labelsOf{"namespace", p.Namespace, "pod", p.Name, "uid", string(p.UID)}
	kind, name := "", ""
	if o := metav1.GetControllerOf(p); o != nil {
		kind, name = o.Kind, o.Name
	}
	s.gauge("kube_pod_info", 1, with(ls, "host_ip", p.Status.HostIP, "pod_ip", p.Status.PodIP, "node", p.Spec.NodeName, "created_by_kind", kind,
		"created_by_name", name, "priority_class", p.Spec.PriorityClassName, "host_network", strconv.FormatBool(p.Spec.HostNetwork)))
	for _, l := range ownerLabels(ls, p.OwnerReferences) {
		s.gauge("kube_pod_owner", 1, l)
	}
	s.since("kube_pod_created", p.CreationTimestamp.Time, ls)
	s.since("kube_pod_start_time", timeOf(p.Status.StartTime), ls)
	phase := string(cmp.Or(p.Status.Phase, corev1.PodPending))
	if p.DeletionTimestamp != nil && p.Status.Reason == "NodeLost" {
		phase = "Unknown"
	}
	s.one("kube_pod_status_phase", "phase", phase, []string{"Pending", "Succeeded", "Failed", "Unknown", "Running"}, ls)
	s.one("kube_pod_status_reason", "reason", p.Status.Reason, []string{"Evicted", "NodeAffinity", "NodeLost", "Shutdown", "UnexpectedAdmissionError"}, ls)
	for _, c := range p.Status.Conditions {
		switch c.Type {
		case corev1.PodReady:
			s.condition("kube_pod_status_ready", string(c.Status), ls, "condition")
		case corev1.PodScheduled:
			s.condition("kube_pod_status_scheduled", string(c.Status), ls, "condition")
		}
	}
	for _, c := range p.Spec.Containers {
		l := with(ls, "container", c.Name, "node", p.Spec.NodeName)
		s.resources("kube_pod_container_resource_requests", c.Resources.Requests, l)
		s.resources("kube_pod_container_resource_limits", c.Resources.Limits, l)
	}
	for _, c := range p.Status.ContainerStatuses {
		s.container("kube_pod_container", p, c, with(ls, "container", c.Name))
	}
	for _, c := range p.Status.InitContainerStatuses {
		s.container("kube_pod_init_container", p, c, with(ls, "container", c.Name))
	}
}

// container writes the series of a container's status.
func (s *series) container(prefix string, p *corev1.Pod, c corev1.ContainerStatus, ls labelsOf) {
	image := c.Image
	for _, spec := range p.Spec.Containers {
		if spec.Name == c.Name {
			image = spec.Image
		}
	}
	s.gauge(prefix+"_info", 1, with(ls, "image", c.Image, "image_spec", image, "image_id", c.ImageID, "container_id", c.ContainerID))
	s.gauge(prefix+"_status_ready", flag(c.Ready), ls)
	s.counter(prefix+"_status_restarts_total", float64(c.RestartCount), ls)
	s.gauge(prefix+"_status_running", flag(c.State.Running != nil), ls)
	s.gauge(prefix+"_status_waiting", flag(c.State.Waiting != nil), ls)
	s.gauge(prefix+"_status_terminated", flag(c.State.Terminated != nil), ls)
	if r := c.State.Running; r != nil {
		s.since(prefix+"_state_started", r.StartedAt.Time, ls)
	}
	if r := c.State.Waiting; r != nil {
		s.gauge(prefix+"_status_waiting_reason", 1, with(ls, "reason", r.Reason))
	}
	if r := c.State.Terminated; r != nil {
		s.gauge(prefix+"_status_terminated_reason", 1, with(ls, "reason", r.Reason))
		s.since(prefix+"_state_started", r.StartedAt.Time, ls)
	}
	if r := c.LastTerminationState.Terminated; r != nil {
		s.gauge(prefix+"_status_last_terminated_reason", 1, with(ls, "reason", r.Reason))
		s.gauge(prefix+"_status_last_terminated_exitcode", float64(r.ExitCode), ls)
		s.since(prefix+"_status_last_terminated_timestamp", r.FinishedAt.Time, ls)
	}
}
