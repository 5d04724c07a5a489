package kube

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// workloads writes the series of what keeps pods running ("deployment-metrics.md",
// "replicaset-metrics.md", "statefulset-metrics.md", "daemonset-metrics.md").
func (s *series) workloads(v *view) {
	for _, d := range all[*appsv1.Deployment](v.deployments) {
		s.deployment(d)
	}
	for _, r := range all[*appsv1.ReplicaSet](v.replicaSets) {
		ls := labelsOf{"namespace", r.Namespace, "replicaset", r.Name}
		s.since("kube_replicaset_created", r.CreationTimestamp.Time, ls)
		s.replicas("kube_replicaset_spec_replicas", r.Spec.Replicas, ls)
		s.gauge("kube_replicaset_status_replicas", float64(r.Status.Replicas), ls)
		s.gauge("kube_replicaset_status_ready_replicas", float64(r.Status.ReadyReplicas), ls)
		s.gauge("kube_replicaset_status_observed_generation", float64(r.Status.ObservedGeneration), ls)
		s.gauge("kube_replicaset_metadata_generation", float64(r.Generation), ls)
		for _, l := range ownerLabels(ls, r.OwnerReferences) {
			s.gauge("kube_replicaset_owner", 1, l)
		}
	}
	for _, t := range all[*appsv1.StatefulSet](v.statefulSets) {
		s.statefulSet(t)
	}
	for _, d := range all[*appsv1.DaemonSet](v.daemonSets) {
		ls := labelsOf{"namespace", d.Namespace, "daemonset", d.Name}
		s.since("kube_daemonset_created", d.CreationTimestamp.Time, ls)
		s.gauge("kube_daemonset_status_desired_number_scheduled", float64(d.Status.DesiredNumberScheduled), ls)
		s.gauge("kube_daemonset_status_current_number_scheduled", float64(d.Status.CurrentNumberScheduled), ls)
		s.gauge("kube_daemonset_status_number_misscheduled", float64(d.Status.NumberMisscheduled), ls)
		s.gauge("kube_daemonset_status_number_ready", float64(d.Status.NumberReady), ls)
		s.gauge("kube_daemonset_status_number_available", float64(d.Status.NumberAvailable), ls)
		s.gauge("kube_daemonset_status_number_unavailable", float64(d.Status.NumberUnavailable), ls)
		s.gauge("kube_daemonset_status_updated_number_scheduled", float64(d.Status.UpdatedNumberScheduled), ls)
		s.gauge("kube_daemonset_status_observed_generation", float64(d.Status.ObservedGeneration), ls)
		s.gauge("kube_daemonset_metadata_generation", float64(d.Generation), ls)
	}
}

func (s *series) deployment(d *appsv1.Deployment) {
	ls := labelsOf{"namespace", d.Namespace, "deployment", d.Name}
	s.since("kube_deployment_created", d.CreationTimestamp.Time, ls)
	s.replicas("kube_deployment_spec_replicas", d.Spec.Replicas, ls)
	s.gauge("kube_deployment_spec_paused", flag(d.Spec.Paused), ls)
	s.gauge("kube_deployment_metadata_generation", float64(d.Generation), ls)
	s.gauge("kube_deployment_status_observed_generation", float64(d.Status.ObservedGeneration), ls)
	s.gauge("kube_deployment_status_replicas", float64(d.Status.Replicas), ls)
	s.gauge("kube_deployment_status_replicas_ready", float64(d.Status.ReadyReplicas), ls)
	s.gauge("kube_deployment_status_replicas_available", float64(d.Status.AvailableReplicas), ls)
	s.gauge("kube_deployment_status_replicas_unavailable", float64(d.Status.UnavailableReplicas), ls)
	s.gauge("kube_deployment_status_replicas_updated", float64(d.Status.UpdatedReplicas), ls)
	for _, c := range d.Status.Conditions {
		s.condition("kube_deployment_status_condition", string(c.Status), with(ls, "condition", string(c.Type), "reason", c.Reason), "status")
	}
}

func (s *series) statefulSet(t *appsv1.StatefulSet) {
	ls := labelsOf{"namespace", t.Namespace, "statefulset", t.Name}
	s.since("kube_statefulset_created", t.CreationTimestamp.Time, ls)
	s.replicas("kube_statefulset_replicas", t.Spec.Replicas, ls)
	s.gauge("kube_statefulset_metadata_generation", float64(t.Generation), ls)
	s.gauge("kube_statefulset_status_observed_generation", float64(t.Status.ObservedGeneration), ls)
	s.gauge("kube_statefulset_status_replicas", float64(t.Status.Replicas), ls)
	s.gauge("kube_statefulset_status_replicas_available", float64(t.Status.AvailableReplicas), ls)
	s.gauge("kube_statefulset_status_replicas_current", float64(t.Status.CurrentReplicas), ls)
	s.gauge("kube_statefulset_status_replicas_ready", float64(t.Status.ReadyReplicas), ls)
	s.gauge("kube_statefulset_status_replicas_updated", float64(t.Status.UpdatedReplicas), ls)
	s.gauge("kube_statefulset_status_current_revision", 1, with(ls, "revision", t.Status.CurrentRevision))
	s.gauge("kube_statefulset_status_update_revision", 1, with(ls, "revision", t.Status.UpdateRevision))
}

// batch writes the series of what ends, and of autoscalers ("job-metrics.md",
// "cronjob-metrics.md", "horizontalpodautoscaler-metrics.md").
func (s *series) batch(v *view) {
	for _, j := range all[*batchv1.Job](v.jobs) {
		s.job(j)
	}
	for _, c := range all[*batchv1.CronJob](v.cronJobs) {
		ls := labelsOf{"namespace", c.Namespace, "cronjob", c.Name}
		s.since("kube_cronjob_created", c.CreationTimestamp.Time, ls)
		s.gauge("kube_cronjob_status_active", float64(len(c.Status.Active)), ls)
		s.gauge("kube_cronjob_spec_suspend", flag(c.Spec.Suspend != nil && *c.Spec.Suspend), ls)
		s.since("kube_cronjob_status_last_schedule_time", timeOf(c.Status.LastScheduleTime), ls)
		s.since("kube_cronjob_status_last_successful_time", timeOf(c.Status.LastSuccessfulTime), ls)
	}
	for _, h := range all[*autoscalingv2.HorizontalPodAutoscaler](v.autoscalers) {
		ls := labelsOf{"namespace", h.Namespace, "horizontalpodautoscaler", h.Name}
		s.gauge("kube_horizontalpodautoscaler_info", 1, with(ls, "scaletargetref_kind", h.Spec.ScaleTargetRef.Kind, "scaletargetref_name", h.Spec.ScaleTargetRef.Name))
		s.gauge("kube_horizontalpodautoscaler_spec_max_replicas", float64(h.Spec.MaxReplicas), ls)
		s.replicas("kube_horizontalpodautoscaler_spec_min_replicas", h.Spec.MinReplicas, ls)
		s.gauge("kube_horizontalpodautoscaler_status_current_replicas", float64(h.Status.CurrentReplicas), ls)
		s.gauge("kube_horizontalpodautoscaler_status_desired_replicas", float64(h.Status.DesiredReplicas), ls)
		for _, c := range h.Status.Conditions {
			s.condition("kube_horizontalpodautoscaler_status_condition", string(c.Status), with(ls, "condition", string(c.Type)), "status")
		}
	}
}

func (s *series) job(j *batchv1.Job) {
	ls := labelsOf{"namespace", j.Namespace, "job_name", j.Name}
	s.gauge("kube_job_info", 1, ls)
	s.since("kube_job_created", j.CreationTimestamp.Time, ls)
	for _, l := range ownerLabels(ls, j.OwnerReferences) {
		s.gauge("kube_job_owner", 1, l)
	}
	s.replicas("kube_job_spec_completions", j.Spec.Completions, ls)
	s.replicas("kube_job_spec_parallelism", j.Spec.Parallelism, ls)
	s.gauge("kube_job_status_active", float64(j.Status.Active), ls)
	s.gauge("kube_job_status_succeeded", float64(j.Status.Succeeded), ls)
	s.gauge("kube_job_status_failed", float64(j.Status.Failed), ls)
	s.since("kube_job_status_start_time", timeOf(j.Status.StartTime), ls)
	s.since("kube_job_status_completion_time", timeOf(j.Status.CompletionTime), ls)
	for _, c := range j.Status.Conditions {
		switch c.Type {
		case batchv1.JobComplete:
			s.condition("kube_job_complete", string(c.Status), ls, "condition")
		case batchv1.JobFailed:
			s.condition("kube_job_failed", string(c.Status), ls, "condition")
		}
	}
}

// cluster writes the series of namespaces, quotas and volumes ("namespace-metrics.md",
// "resourcequota-metrics.md", "persistentvolume-metrics.md", "persistentvolumeclaim-metrics.md").
func (s *series) cluster(v *view) {
	for _, n := range all[*corev1.Namespace](v.namespaces) {
		s.one("kube_namespace_status_phase", "phase", string(n.Status.Phase), []string{"Active", "Terminating"}, labelsOf{"namespace", n.Name})
		s.since("kube_namespace_created", n.CreationTimestamp.Time, labelsOf{"namespace", n.Name})
	}
	for _, q := range all[*corev1.ResourceQuota](v.quotas) {
		for kind, list := range map[string]corev1.ResourceList{"hard": q.Status.Hard, "used": q.Status.Used} {
			for r, amountOf := range list {
				s.gauge("kube_resourcequota", amount(amountOf), labelsOf{"namespace", q.Namespace, "resourcequota", q.Name, "resource", string(r), "type", kind})
			}
		}
	}
	for _, p := range all[*corev1.PersistentVolume](v.volumes) {
		ls := labelsOf{"persistentvolume", p.Name}
		s.one("kube_persistentvolume_status_phase", "phase", string(p.Status.Phase), []string{"Pending", "Available", "Bound", "Released", "Failed"}, ls)
		storage := p.Spec.Capacity[corev1.ResourceStorage]
		s.gauge("kube_persistentvolume_capacity_bytes", amount(storage), ls)
	}
	for _, c := range all[*corev1.PersistentVolumeClaim](v.claims) {
		ls := labelsOf{"namespace", c.Namespace, "persistentvolumeclaim", c.Name}
		s.one("kube_persistentvolumeclaim_status_phase", "phase", string(c.Status.Phase), []string{"Lost", "Bound", "Pending"}, ls)
		storage := c.Spec.Resources.Requests[corev1.ResourceStorage]
		s.gauge("kube_persistentvolumeclaim_resource_requests_storage_bytes", amount(storage), ls)
		class := ""
		if c.Spec.StorageClassName != nil {
			class = *c.Spec.StorageClassName
		}
		s.gauge("kube_persistentvolumeclaim_info", 1, with(ls, "storageclass", class, "volumename", c.Spec.VolumeName))
		for _, m := range c.Spec.AccessModes {
			s.gauge("kube_persistentvolumeclaim_access_mode", 1, with(ls, "access_mode", string(m)))
		}
	}
}

// node writes the series of a node ("node-metrics.md").
func (s *series) node(n *corev1.Node) {
	ls := labelsOf{"node", n.Name}
	i := n.Status.NodeInfo
	address := ""
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			address = a.Address
		}
	}
	s.gauge("kube_node_info", 1, with(ls, "kernel_version", i.KernelVersion, "os_image", i.OSImage, "container_runtime_version", i.ContainerRuntimeVersion,
		"kubelet_version", i.KubeletVersion, "provider_id", n.Spec.ProviderID, "pod_cidr", n.Spec.PodCIDR, "system_uuid", i.SystemUUID, "internal_ip", address))
	s.since("kube_node_created", n.CreationTimestamp.Time, ls)
	s.gauge("kube_node_spec_unschedulable", flag(n.Spec.Unschedulable), ls)
	for _, t := range n.Spec.Taints {
		s.gauge("kube_node_spec_taint", 1, with(ls, "key", t.Key, "value", t.Value, "effect", string(t.Effect)))
	}
	for k := range n.Labels {
		if role, ok := strings.CutPrefix(k, "node-role.kubernetes.io/"); ok {
			s.gauge("kube_node_role", 1, with(ls, "role", role))
		}
	}
	for _, c := range n.Status.Conditions {
		s.condition("kube_node_status_condition", string(c.Status), with(ls, "condition", string(c.Type)), "status")
	}
	s.resources("kube_node_status_capacity", n.Status.Capacity, ls)
	s.resources("kube_node_status_allocatable", n.Status.Allocatable, ls)
}
