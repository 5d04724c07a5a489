package kube

import (
	"context"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// settle is how long changes are collected before the inventory is written because of them.
const settle = 2 * time.Second

// inventories writes KubePodInventory and KubeNodeInventory once a minute; in between, the
// pods that have changed, so that a pod that lives for seconds only is there too.
func (w *Watcher) inventories(ctx context.Context, v *view) {
	last := map[string]string{} // versions of pods that were written
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		full := true
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			next.Reset(w.o.Inventory)
		case <-v.kick:
			full = false
			select {
			case <-ctx.Done():
				return
			case <-time.After(settle):
			}
		}
		pods := v.Pods()
		if !full {
			pods = changedSince(pods, last)
		}
		batches := w.inventory(v, pods, full)
		if len(batches) == 0 {
			continue
		}
		if err := w.o.Sink.Append(ctx, batches); err != nil && ctx.Err() == nil {
			// The next one comes within a minute and says the same.
			w.o.Logger.Warn("an inventory of the cluster is not stored", "error", err)
			continue
		}
		if full {
			clear(last)
		}
		for _, p := range pods {
			last[string(p.UID)] = p.ResourceVersion
		}
	}
}

func changedSince(pods []*corev1.Pod, last map[string]string) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range pods {
		if last[string(p.UID)] != p.ResourceVersion {
			out = append(out, p)
		}
	}
	return out
}

// inventory makes the rows of some pods and, with nodes, of all nodes.
func (w *Watcher) inventory(v *view, pods []*corev1.Pod, nodes bool) []*table.Batch {
	now := w.o.Clock.Now()
	services := all[*corev1.Service](v.services)
	out := newRows(table.KubePodInventory)
	for _, p := range pods {
		at, ok := w.ByUID(string(p.UID))
		if !ok {
			continue // its handler has not run yet; the next inventory has it
		}
		w.podRows(out, now, p, at, strings.Join(servicesOf(services, p.Namespace, p.Labels), ","))
	}
	var batches []*table.Batch
	if out.Rows() > 0 {
		batches = append(batches, out.Batch([16]byte{}))
	}
	if nodes {
		if b := w.nodeRows(now, v.Nodes()); b.Rows() > 0 {
			batches = append(batches, b)
		}
	}
	return batches
}

// podRows adds a row per container; a pod whose containers are not known yet has one too.
func (w *Watcher) podRows(out rows, now time.Time, p *corev1.Pod, at place.Place, services string) {
	kind, name := controllerOf(p)
	restarts := int64(0)
	for _, s := range p.Status.ContainerStatuses {
		restarts += int64(s.RestartCount)
	}
	base := func() row {
		return row{
			"Computer": p.Spec.NodeName, "PodUid": string(p.UID), "PodCreationTimeStamp": p.CreationTimestamp.Time, "PodRestartCount": restarts,
			"PodStartTime": timeOf(p.Status.StartTime), "ServiceName": services, "ControllerKind": kind, "ControllerName": name,
			"PodStatus": podStatus(p), "PodIp": p.Status.PodIP, "PodLabel": jsonOf(p.Labels), "Name": p.Name, "Namespace": p.Namespace,
			"InstanceName": w.resource(place.Place{}) + "/" + string(p.UID),
		}
	}
	if len(p.Status.ContainerStatuses) == 0 {
		out.add(w, now, at, at.Digest(""), base())
		return
	}
	for _, s := range p.Status.ContainerStatuses {
		r := base()
		r["InstanceName"] = w.resource(place.Place{}) + "/" + string(p.UID) + "/" + s.Name
		// Container insights names a container by its pod's uid as well.
		r["ContainerName"], r["ContainerID"] = string(p.UID)+"/"+s.Name, afterScheme(s.ContainerID)
		r["ContainerRestartCount"] = int64(s.RestartCount)
		status, reason, since := stateOf(s.State)
		r["ContainerStatus"], r["ContainerStatusReason"] = status, reason
		r["ContainerCreationTimeStamp"], r["ContainerStartTime"] = since, since
		r["ContainerLastStatus"] = lastStatus(s.LastTerminationState)
		out.add(w, now, at, at.Digest(s.Name), r)
	}
}

// podStatus returns the phase, or what kubectl shows in its place.
func podStatus(p *corev1.Pod) string {
	switch {
	case p.DeletionTimestamp != nil:
		return "Terminating"
	case p.Status.Reason != "":
		return p.Status.Reason
	}
	return string(p.Status.Phase)
}

func controllerOf(p *corev1.Pod) (kind, name string) {
	if o := metav1.GetControllerOf(p); o != nil {
		return o.Kind, o.Name
	}
	return "", ""
}

// stateOf returns a container's state in Container insights' words.
func stateOf(s corev1.ContainerState) (status, reason string, since time.Time) {
	switch {
	case s.Running != nil:
		return "running", "", s.Running.StartedAt.UTC()
	case s.Terminated != nil:
		return "terminated", s.Terminated.Reason, s.Terminated.StartedAt.UTC()
	case s.Waiting != nil:
		return "waiting", s.Waiting.Reason, time.Time{}
	}
	return "", "", time.Time{}
}

// lastStatus says how a container ended the last time, as a JSON object; "" when it did not.
func lastStatus(s corev1.ContainerState) string {
	t := s.Terminated
	if t == nil {
		return ""
	}
	return `{"lastState":"terminated","reason":` + strconv.Quote(t.Reason) + `,"exitCode":` + strconv.Itoa(int(t.ExitCode)) +
		`,"startedAt":` + strconv.Quote(t.StartedAt.UTC().Format(time.RFC3339)) + `,"finishedAt":` + strconv.Quote(t.FinishedAt.UTC().Format(time.RFC3339)) + `}`
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func (w *Watcher) nodeRows(now time.Time, nodes []*corev1.Node) *table.Batch {
	out := newRows(table.KubeNodeInventory)
	for _, n := range nodes {
		ready := time.Time{}
		var conditions []string
		for _, c := range n.Status.Conditions {
			if c.Status != corev1.ConditionTrue {
				continue
			}
			conditions = append(conditions, string(c.Type))
			if c.Type == corev1.NodeReady {
				ready = c.LastTransitionTime.UTC()
			}
		}
		if len(conditions) == 0 {
			conditions = []string{"Unknown"}
		}
		out.add(w, now, place.Place{}, "", row{
			"Computer": n.Name, "LastTransitionTimeReady": ready, "Labels": jsonOf(n.Labels), "Status": strings.Join(conditions, ","),
			"KubeletVersion": n.Status.NodeInfo.KubeletVersion, "KubeProxyVersion": n.Status.NodeInfo.KubeProxyVersion,
			"CreationTimeStamp": n.CreationTimestamp.Time, "KubernetesProviderID": n.Spec.ProviderID, "OperatingSystem": n.Status.NodeInfo.OSImage,
		})
	}
	return out.Batch([16]byte{})
}
