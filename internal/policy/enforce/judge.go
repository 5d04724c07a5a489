package enforce

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/policy/vap"
)

// asked is a request made ready to be judged, with the set that judges it.
type asked struct {
	req    *admissionv1.AdmissionRequest
	set    *engine.Set
	kind   schema.GroupVersionKind
	place  rule.Place
	self   Self
	object map[string]any
	old    map[string]any
	dryRun bool
}

// asked reads a request. What can be said of it is set also when there is an error.
func (w *Webhook) asked(req *admissionv1.AdmissionRequest) (asked, error) {
	a := asked{
		req: req, set: w.Policies.Current(), kind: schema.GroupVersionKind(req.Kind),
		place: rule.Place{Cluster: w.cluster, Namespace: req.Namespace}, dryRun: req.DryRun != nil && *req.DryRun,
	}
	for _, p := range a.set.Places() {
		if p.Cluster == w.cluster && p.Namespace == req.Namespace {
			a.place = p
		}
	}
	var err error
	if a.object, err = decode(req.Object.Raw); err != nil {
		return a, fmt.Errorf("reading the object: %w", err)
	}
	if a.old, err = decode(req.OldObject.Raw); err != nil {
		return a, fmt.Errorf("reading the former object: %w", err)
	}
	a.self = SelfOf(a.kind.GroupKind(), &unstructured.Unstructured{Object: a.object})
	if a.self.Name == "" {
		a.self.Name = req.Name
	}
	if a.self.Namespace == "" {
		a.self.Namespace = req.Namespace
	}
	return a, nil
}

// decode reads an object with the number types of Kubernetes; nil for none.
func decode(raw []byte) (map[string]any, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var u unstructured.Unstructured
	if err := u.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	return u.Object, nil
}

// leaving reports whether the request only lets go of an object that was deleted.
func (a asked) leaving() bool { return engine.Leaves(string(a.req.Operation), a.object, a.old) }

// matched reports whether some rule is about objects of the kind, here or in the pods that
// they make.
func (a asked) matched() bool {
	for _, gk := range a.set.Kinds() {
		if gk == a.kind.GroupKind() {
			return true
		}
	}
	return false
}

// judge answers a request.
func (w *Webhook) judge(ctx context.Context, a asked) *admissionv1.AdmissionResponse {
	by, err := w.behind(ctx, a)
	if err != nil {
		w.Logger.Warn("finding who is behind a request", "error", err)
	}
	if a.leaving() || !a.matched() {
		w.passed(a, by)
		return &admissionv1.AdmissionResponse{UID: a.req.UID, Allowed: true}
	}
	q := w.question(a, by)
	if len(w.queue) > calm {
		if ok, err := w.passesQuickly(ctx, a); err == nil && ok {
			return w.allow(a, by, q, nil)
		}
	}
	d, err := w.Decider.Decide(ctx, q)
	if err != nil {
		w.Logger.Error("judging a request", "kind", a.kind.Kind, "namespace", a.req.Namespace, "name", a.self.Name, "error", err)
		return w.unjudged(a, err)
	}
	if d.Allowed {
		return w.allow(a, by, q, warnings(d, a.set))
	}
	if !a.dryRun {
		d = w.record(ctx, a, d)
	}
	return &admissionv1.AdmissionResponse{UID: a.req.UID, Warnings: warnings(d, a.set), Result: &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden, Message: message(d),
	}}
}

// allow lets a request in, and has that recorded when a run asked.
func (w *Webhook) allow(a asked, by Applied, q policy.Question, said []string) *admissionv1.AdmissionResponse {
	w.passed(a, by)
	if by.Run != 0 && !a.dryRun && !system(a.req.UserInfo.Username) {
		q.Record = policy.RecordAll
		w.recordLater(q)
	}
	return &admissionv1.AdmissionResponse{UID: a.req.UID, Allowed: true, Warnings: said}
}

// behind returns who asked; where a part of the cluster did, who applied what it works for.
func (w *Webhook) behind(ctx context.Context, a asked) (Applied, error) {
	user := a.req.UserInfo
	extra := make(map[string][]string, len(user.Extra))
	for k, v := range user.Extra {
		extra[k] = v
	}
	self := applied(user.Username, extra, w.Clock.Now())
	w.Appliers.owners.remember(a.self)
	if !system(user.Username) || a.self.owner == nil {
		return self, nil
	}
	by, ok, err := w.Appliers.Behind(ctx, a.self)
	if err != nil || !ok {
		return self, err
	}
	return by, nil
}

// passed notes who applied an object that is let in.
func (w *Webhook) passed(a asked, by Applied) {
	if a.dryRun || a.req.SubResource != "" || a.self.owner != nil || a.self.Name == "" || system(a.req.UserInfo.Username) {
		return
	}
	w.Appliers.note(a.self.Object, by)
}

func (w *Webhook) question(a asked, by Applied) policy.Question {
	q := policy.Question{
		Point: policy.PointAdmission, Actor: by.Actor, Judges: judges(by), Project: by.Project, Environment: a.place.Environment,
		Run: by.Run, Job: by.Job, Commit: by.Commit, Record: policy.RecordNone,
	}
	if q.Project == "" {
		q.Project = a.place.Project
	}
	q.Objects = []policy.Object{{Review: w.review(a)}}
	return q
}

func (w *Webhook) review(a asked) rule.Review {
	return rule.Review{
		Object: a.object, Old: a.old, Operation: string(a.req.Operation), Kind: a.kind, Resource: a.req.Resource.Resource,
		Sub: a.req.SubResource, Name: a.self.Name, Place: a.place, NamespaceLabels: w.Namespaces.Labels(a.req.Namespace),
		User: a.req.UserInfo, DryRun: a.dryRun,
	}
}

// record keeps a refusal and tells about it. A controller asks again and again: what it
// meets is kept once for each object that it works for.
func (w *Webhook) record(ctx context.Context, a asked, d policy.Decision) policy.Decision {
	key := "webhook:" + string(a.req.UID)
	if system(a.req.UserInfo.Username) && a.self.owner != nil {
		key = complaintKey(string(a.self.owner.UID), refs(d))
	}
	kept, fresh, err := w.Recorder.RecordRefusal(ctx, key, d)
	if err != nil {
		w.Logger.Error("recording a refused request", "kind", a.kind.Kind, "namespace", a.req.Namespace, "name", a.self.Name, "error", err)
		return d
	}
	if fresh && w.OnRefusal != nil {
		w.OnRefusal(context.WithoutCancel(ctx), kept)
	}
	return kept
}

func refs(d policy.Decision) []vap.Ref {
	var out []vap.Ref
	for _, o := range d.Objects {
		for _, v := range o.Verdicts {
			if v.Refuses {
				out = append(out, vap.Ref{Assignment: v.Assignment, Rule: v.Reference, Policy: vap.Short(v.Policy)})
			}
		}
	}
	return out
}

// recordLater has a decision recorded after the answer: writing takes longer than judging.
func (w *Webhook) recordLater(q policy.Question) {
	select {
	case w.records <- q:
	default:
		w.Logger.Warn("an allowed request is not recorded: too many are waiting", "run", q.Run)
	}
}

// unjudged refuses a request that a refusing rule may be about which the API server has not
// judged by; others pass.
func (w *Webhook) unjudged(a asked, why error) *admissionv1.AdmissionResponse {
	gk := a.kind.GroupKind()
	clusterWide := a.req.Namespace == "" || gk == schema.GroupKind{Kind: "Namespace"}
	if a.matched() && !a.leaving() {
		first := w.firstLine(a.set)
		for _, r := range a.set.Rules() {
			if !r.Refuses() || first(r) || !engine.InScope(r, a.place, clusterWide) || !about(r, gk) {
				continue
			}
			return &admissionv1.AdmissionResponse{UID: a.req.UID, Result: &metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusServiceUnavailable, Reason: metav1.StatusReasonServiceUnavailable,
				Message: fmt.Sprintf("%s could not be judged, so it is refused: %s; try again [assignment %s, rule %s, policy %s]",
					a.kind.Kind, why.Error(), r.Assignment, r.Reference, vap.Short(r.Policy)),
			}}
		}
	}
	return &admissionv1.AdmissionResponse{
		UID: a.req.UID, Allowed: true, Warnings: []string{clip("Towpath did not judge this object: " + why.Error())},
	}
}

// about reports whether a rule judges objects of a kind, or the pods that they make.
func about(r rule.Rule, gk schema.GroupKind) bool {
	pods := false
	for _, k := range r.Match.Kinds {
		for _, g := range k.Groups {
			for _, kind := range k.Kinds {
				if g == gk.Group && kind == gk.Kind {
					return true
				}
				pods = pods || g == "" && kind == "Pod"
			}
		}
	}
	return pods && r.Source != rule.Original && r.Source != ""
}

// maxViolations bounds how many violations of one rule a message lists.
const maxViolations = 10

// message lists what refuses: each rule with its violations, where it comes from, and what
// to do.
func message(d policy.Decision) string {
	var out []string
	for _, o := range d.Objects {
		for _, v := range o.Verdicts {
			if v.Refuses {
				out = append(out, line(v.Verdict))
			}
		}
	}
	if d.ID != "" {
		out = append(out, "decision "+d.ID)
	}
	return strings.Join(out, "\n")
}

// line says a verdict in the words of package vap.
func line(v rule.Verdict) string {
	var said []string
	for i, x := range v.Violations {
		if i == maxViolations {
			said = append(said, fmt.Sprintf("and %d more", len(v.Violations)-i))
			break
		}
		if x.Path != "" {
			said = append(said, x.Path+": "+x.Message)
		} else {
			said = append(said, x.Message)
		}
	}
	if v.Outcome == rule.Error {
		said = append(said, "could not be judged: "+v.Why)
	}
	text := fmt.Sprintf("%s [assignment %s, rule %s, policy %s]", strings.Join(said, "; "), v.Assignment, v.Reference, vap.Short(v.Policy))
	if v.Fix != "" {
		text += " " + v.Fix
	}
	return text
}

// maxWarning is how much of a warning a client is sure to show.
const maxWarning = 250

// warnings are what rules say that do not refuse and want to be heard.
func warnings(d policy.Decision, set *engine.Set) []string {
	loud := map[[2]string]bool{}
	for _, r := range set.Rules() {
		if r.Warn {
			loud[[2]string{r.Assignment, r.Reference}] = true
		}
	}
	var out []string
	for _, o := range d.Objects {
		for _, v := range o.Verdicts {
			if !v.Refuses && v.Outcome == rule.Audited && loud[[2]string{v.Assignment, v.Reference}] && len(out) < maxViolations {
				out = append(out, clip(line(v.Verdict)))
			}
		}
	}
	return out
}

func clip(s string) string {
	if r := []rune(strings.ReplaceAll(s, "\n", " ")); len(r) > maxWarning {
		return string(r[:maxWarning-1]) + "…"
	}
	return strings.ReplaceAll(s, "\n", " ")
}
