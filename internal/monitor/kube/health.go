package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/table"
)

// recent is how long a restart counts as trouble after the container runs again.
const recent = 10 * time.Minute

// starting is how long a pod may take to become ready before that is trouble.
const starting = 5 * time.Minute

// Health returns the workloads of a project, or with all set of every project and of the
// platform; the worst first, then by environment and name. fault.Unavailable while the
// cluster is not known.
func (w *Watcher) Health(ctx context.Context, project string, everything bool) ([]Workload, error) {
	v := w.view.Load()
	if v == nil {
		return nil, fault.New(fault.Unavailable, "The cluster is not known yet.").WithNext("see how it is with `towpath status`")
	}
	if project == "" && !everything {
		return nil, fault.New(fault.Invalid, "The question names no project.")
	}
	now := w.o.Clock.Now()
	h := &ward{w: w, ctx: ctx, now: now, project: project, all: everything, pods: w.podsByWorkload(v)}
	h.collect(v)
	slices.SortFunc(h.out, func(a, b Workload) int {
		return cmp.Or(rank(a.State)-rank(b.State), cmp.Compare(a.Project, b.Project), cmp.Compare(a.Environment, b.Environment),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return h.out, nil
}

func rank(state string) int { return slices.Index([]string{Shut, Held, Passing, Open}, state) }

// ward examines workloads.
type ward struct {
	w       *Watcher
	ctx     context.Context
	now     time.Time
	project string
	all     bool
	pods    map[string][]*corev1.Pod
	out     []Workload
}

// podsByWorkload groups pods by namespace and workload ("shop Deployment/web"); those of a
// CronJob's job belong to the CronJob.
func (w *Watcher) podsByWorkload(v *view) map[string][]*corev1.Pod {
	cron := map[string]string{}
	for _, j := range all[*batchv1.Job](v.jobs) {
		if o := metav1.GetControllerOf(j); o != nil {
			cron[j.Namespace+" Job/"+j.Name] = j.Namespace + " " + o.Kind + "/" + o.Name
		}
	}
	out := map[string][]*corev1.Pod{}
	for _, p := range v.Pods() {
		key := p.Namespace + " " + workloadOf(p)
		key = cmp.Or(cron[key], key)
		out[key] = append(out[key], p)
	}
	return out
}

func (h *ward) collect(v *view) {
	for _, d := range all[*appsv1.Deployment](v.deployments) {
		h.add(d, "Deployment", wants(d.Spec.Replicas), int(d.Status.ReadyReplicas), int(d.Status.UpdatedReplicas), d.Spec.Template.Spec,
			d.Generation > d.Status.ObservedGeneration || d.Status.UpdatedReplicas < d.Status.Replicas, changeOf(d.Status.Conditions, d))
	}
	for _, s := range all[*appsv1.StatefulSet](v.statefulSets) {
		h.add(s, "StatefulSet", wants(s.Spec.Replicas), int(s.Status.ReadyReplicas), int(s.Status.UpdatedReplicas), s.Spec.Template.Spec,
			s.Generation > s.Status.ObservedGeneration || s.Status.CurrentRevision != s.Status.UpdateRevision, s.CreationTimestamp.Time)
	}
	for _, d := range all[*appsv1.DaemonSet](v.daemonSets) {
		h.add(d, "DaemonSet", int(d.Status.DesiredNumberScheduled), int(d.Status.NumberReady), int(d.Status.UpdatedNumberScheduled), d.Spec.Template.Spec,
			d.Generation > d.Status.ObservedGeneration || d.Status.UpdatedNumberScheduled < d.Status.DesiredNumberScheduled, d.CreationTimestamp.Time)
	}
	for _, j := range all[*batchv1.Job](v.jobs) {
		if metav1.GetControllerOf(j) == nil {
			h.job(j)
		}
	}
	for _, c := range all[*batchv1.CronJob](v.cronJobs) {
		h.cron(c)
	}
	for _, p := range v.Pods() {
		if metav1.GetControllerOf(p) == nil && !over(p) {
			ready := 0
			if isReady(p) {
				ready = 1
			}
			h.add(p, "Pod", 1, ready, 1, p.Spec, false, p.CreationTimestamp.Time)
		}
	}
}

func wants(n *int32) int {
	if n == nil {
		return 1
	}
	return int(*n)
}

func changeOf(conditions []appsv1.DeploymentCondition, d *appsv1.Deployment) time.Time {
	last := d.CreationTimestamp.Time
	for _, c := range conditions {
		if c.LastTransitionTime.After(last) {
			last = c.LastTransitionTime.Time
		}
	}
	return last
}

// begin starts the description of a workload; ok is false when it is not asked for.
func (h *ward) begin(o metav1.Object, kind string) (x Workload, ok bool) {
	x = Workload{Namespace: o.GetNamespace(), Kind: kind, Name: o.GetName(), State: Open, Images: []string{}, Pods: []PodState{}}
	x.Project, x.Environment = h.w.book.owner(h.ctx, x.Namespace, h.now)
	return x, h.all || x.Project == h.project
}

// add examines a workload that is to run for ever.
func (h *ward) add(o metav1.Object, kind string, desired, ready, updated int, spec corev1.PodSpec, rolling bool, since time.Time) {
	x, ok := h.begin(o, kind)
	if !ok {
		return
	}
	x.Desired, x.Ready, x.Updated, x.Since = desired, ready, updated, since.UTC()
	for _, c := range spec.Containers {
		x.Images = append(x.Images, c.Image)
	}
	trouble := h.examine(&x)
	lacks := x.Desired - x.Ready
	switch {
	case lacks > 0 && trouble.why != "":
		x.State, x.Why, x.Next = Held, trouble.why, trouble.next
		if x.Ready == 0 {
			x.State = Shut
		}
	case lacks > 0 && (rolling || trouble.young):
		x.State, x.Why = Passing, fmt.Sprintf("%d of %d replicas are ready, the others are starting", x.Ready, x.Desired)
	case lacks > 0:
		x.State, x.Why = Held, fmt.Sprintf("%d of %d replicas are ready", x.Ready, x.Desired)
		x.Next = fmt.Sprintf("kubectl -n %s describe %s %s", x.Namespace, strings.ToLower(kind), x.Name)
		if x.Ready == 0 {
			x.State = Shut
		}
	case rolling && x.Desired > 0:
		x.State, x.Why = Passing, fmt.Sprintf("%d of %d replicas are of the new version", x.Updated, x.Desired)
	case trouble.why != "":
		x.State, x.Why, x.Next = Held, trouble.why, trouble.next
	}
	h.out = append(h.out, x)
}

// job examines what is to end.
func (h *ward) job(j *batchv1.Job) {
	x, ok := h.begin(j, "Job")
	if !ok {
		return
	}
	x.Desired, x.Ready, x.Since = wants(j.Spec.Completions), int(j.Status.Succeeded), timeOf(j.Status.StartTime)
	x.Updated = x.Ready
	h.jobState(&x, j)
	h.out = append(h.out, x)
}

// jobState says how a job is on behalf of itself or its CronJob.
func (h *ward) jobState(x *Workload, j *batchv1.Job) {
	for _, c := range j.Spec.Template.Spec.Containers {
		x.Images = append(x.Images, c.Image)
	}
	trouble := h.examine(x)
	for _, c := range j.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobFailed:
			x.State, x.Why = Shut, cmp.Or(c.Message, c.Reason)
			x.Next = "read its last lines: " + logsOf(*x)
			return
		case batchv1.JobComplete:
			return
		}
	}
	switch {
	case trouble.why != "":
		x.State, x.Why, x.Next = Held, trouble.why, trouble.next
	default:
		x.State, x.Why = Passing, "it is running"
	}
}

// cron examines a CronJob by its newest job.
func (h *ward) cron(c *batchv1.CronJob) {
	x, ok := h.begin(c, "CronJob")
	if !ok {
		return
	}
	v := h.w.view.Load()
	x.Since = timeOf(c.Status.LastScheduleTime)
	var newest *batchv1.Job
	if v != nil {
		for _, j := range all[*batchv1.Job](v.jobs) {
			if o := metav1.GetControllerOf(j); o != nil && o.UID == c.UID && (newest == nil || j.CreationTimestamp.After(newest.CreationTimestamp.Time)) {
				newest = j
			}
		}
	}
	if newest != nil {
		x.Desired, x.Ready = wants(newest.Spec.Completions), int(newest.Status.Succeeded)
		x.Updated = x.Ready
		h.jobState(&x, newest)
	}
	h.out = append(h.out, x)
}

// trouble is what is wrong with the pods of a workload, the worst of it.
type trouble struct {
	why, next string
	young     bool // some pod is not ready, but has not had long
}

// examine fills in the pods of a workload and says what is wrong with them.
func (h *ward) examine(x *Workload) trouble {
	var worst trouble
	pods := h.pods[x.Namespace+" "+x.Kind+"/"+x.Name]
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for _, p := range pods {
		at, _ := h.w.ByUID(string(p.UID))
		s := podState(p)
		s.Release = at.Release
		for _, c := range at.Containers {
			if c.Digest != "" && !slices.Contains(s.Digests, c.Digest) {
				s.Digests = append(s.Digests, c.Digest)
			}
		}
		x.Pods = append(x.Pods, s)
		x.Release = cmp.Or(x.Release, at.Release)
		if p.DeletionTimestamp != nil || over(p) && x.Kind != "Job" && x.Kind != "CronJob" {
			continue
		}
		why, next := h.wrong(p, s)
		if worst.why == "" {
			worst.why, worst.next = why, next
		}
		worst.young = worst.young || why == "" && !s.Ready
	}
	return worst
}

// podState says how a pod is.
func podState(p *corev1.Pod) PodState {
	s := PodState{Name: p.Name, UID: string(p.UID), Node: p.Spec.NodeName, Phase: podStatus(p), Ready: isReady(p), Started: timeOf(p.Status.StartTime)}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		s.Restarts += int(c.RestartCount)
		if c.State.Waiting != nil && s.Waiting == "" && c.State.Waiting.Reason != "PodInitializing" && c.State.Waiting.Reason != "ContainerCreating" {
			s.Waiting = c.State.Waiting.Reason
		}
		for _, t := range []*corev1.ContainerStateTerminated{c.State.Terminated, c.LastTerminationState.Terminated} {
			if t == nil || t.ExitCode == 0 && t.Reason == "Completed" {
				continue
			}
			s.OOM = s.OOM || t.Reason == "OOMKilled"
			if t.FinishedAt.After(s.LastAt) {
				s.Last, s.LastCode, s.LastAt = t.Reason, int(t.ExitCode), t.FinishedAt.UTC()
			}
		}
	}
	return s
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// wrong says what is wrong with a pod and what to do; "" when nothing is.
func (h *ward) wrong(p *corev1.Pod, s PodState) (why, next string) {
	logs := "read its last lines: towpath logs " + p.Name
	switch s.Waiting {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull":
		return fmt.Sprintf("pod %s cannot pull its image: %s", p.Name, waitingMessage(p)), "see that the image exists and that its digest is in the registry"
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return fmt.Sprintf("pod %s cannot start its container: %s", p.Name, waitingMessage(p)), "see that the config maps, secrets and commands of its specification exist"
	}
	if s.OOM && (s.Waiting != "" || h.now.Sub(s.LastAt) < recent) {
		return fmt.Sprintf("pod %s was killed because it used more memory than its limit (OOMKilled), %d restarts", p.Name, s.Restarts),
			"look whether its memory grows with time; else raise resources.limits.memory in the chart"
	}
	if s.Waiting == "CrashLoopBackOff" {
		return fmt.Sprintf("pod %s crashes again and again (exit code %d), %d restarts", p.Name, s.LastCode, s.Restarts), logs
	}
	if s.Restarts > 0 && s.Last != "" && h.now.Sub(s.LastAt) < recent {
		return fmt.Sprintf("pod %s ended with exit code %d (%s) and was started again, %d restarts", p.Name, s.LastCode, s.Last, s.Restarts), logs
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return fmt.Sprintf("pod %s cannot be scheduled: %s", p.Name, firstLine(c.Message)), "lower its requests, or add room: `towpath top` shows what uses it"
		}
	}
	if p.Status.Phase == corev1.PodFailed {
		return fmt.Sprintf("pod %s has failed: %s", p.Name, cmp.Or(firstLine(p.Status.Message), p.Status.Reason, s.Last)), logs
	}
	if began := cmp.Or(s.Started, p.CreationTimestamp.Time); !s.Ready && h.now.Sub(began) > starting {
		return fmt.Sprintf("pod %s runs and is not ready for %s", p.Name, h.now.Sub(began).Round(time.Second)),
			"see why its readiness probe fails: kubectl -n " + p.Namespace + " describe pod " + p.Name
	}
	return "", ""
}

func waitingMessage(p *corev1.Pod) string {
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if c.State.Waiting != nil && c.State.Waiting.Message != "" {
			return firstLine(c.State.Waiting.Message)
		}
	}
	return "no reason given"
}

func logsOf(x Workload) string {
	if len(x.Pods) > 0 {
		return "towpath logs " + x.Pods[0].Name
	}
	return "towpath logs --project " + x.Project
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return table.Shorten(s, 300)
}
