package policy_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/clock/clocktest"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/catalog"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// roles is an authoriser over a table: user → project → role.
type roles map[string]map[string]identity.Role

func (r roles) Require(_ context.Context, a identity.Actor, project string, want identity.Role) error {
	switch has := r[a.Name][project]; {
	case !a.Known():
		return fault.New(fault.Unauthentic, "You are not signed in.")
	case a.Admin || has >= want:
		return nil
	case has < identity.Read:
		return fault.New(fault.NotFound, "There is no project %s.", project)
	}
	return fault.New(fault.Denied, "This needs the role %s.", want)
}

func (r roles) RequireAdmin(_ context.Context, a identity.Actor) error {
	switch {
	case !a.Known():
		return fault.New(fault.Unauthentic, "You are not signed in.")
	case a.Admin:
		return nil
	}
	return fault.New(fault.Denied, "This needs an administrator.")
}

// places is a list that a test may change.
type places struct {
	mu   sync.Mutex
	list []rule.Place
}

func (p *places) Places(context.Context) ([]rule.Place, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]rule.Place{}, p.list...), nil
}

var (
	admin      = user("root", true)
	owner      = user("owner", false)      // admin of shop
	maintainer = user("maintainer", false) // maintain in shop
	reader     = user("reader", false)     // read in shop
	stranger   = user("stranger", false)
)

func user(name string, isAdmin bool) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, Name: name, Admin: isAdmin, Cap: identity.Admin}
}

type world struct {
	*policy.Service
	db     *store.DB
	log    *event.Log
	clock  *clocktest.Clock
	places *places
}

func build(t testing.TB, db *store.DB) *world {
	t.Helper()
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	w := &world{db: db, clock: clocktest.At(start), places: &places{list: []rule.Place{
		{Cluster: "embedded", Namespace: "shop-production", Project: "shop", Environment: "production"},
		{Cluster: "embedded", Namespace: "blog-production", Project: "blog", Environment: "production"},
	}}}
	w.log = event.New(db, w.clock)
	c, err := catalog.Open()
	if err != nil {
		t.Fatal(err)
	}
	w.Service, err = policy.New(policy.Parts{
		DB: db, Log: w.log, Clock: w.clock, Places: w.places, Catalogue: c, Logger: slog.New(slog.DiscardHandler),
		Auth: roles{"owner": {"shop": identity.Admin}, "maintainer": {"shop": identity.Maintain}, "reader": {"shop": identity.Read}},
	}, policy.Options{Registries: []string{"localhost:7080"}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func seeded(t testing.TB) *world {
	t.Helper()
	w := build(t, storetest.SQLite(t))
	if err := w.Seed(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func pod(namespace, name string, privileged bool) policy.Object {
	c := map[string]any{"name": "web", "image": "localhost:7080/shop/web@sha256:" + strings.Repeat("a", 64)}
	if privileged {
		c["securityContext"] = map[string]any{"privileged": true}
	}
	return policy.Object{Review: rule.Review{
		Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name, "namespace": namespace}, "spec": map[string]any{"containers": []any{c}}},
		Kind:   schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, Name: name, Place: rule.Place{Cluster: "embedded", Namespace: namespace},
	}}
}

func (w *world) decide(t testing.TB, record string, objects ...policy.Object) policy.Decision {
	t.Helper()
	d, err := w.Decide(t.Context(), policy.Question{
		Point: policy.PointAdmission, Actor: "user:ada", Project: "shop", Environment: "production", Run: 12, Commit: strings.Repeat("c", 40), Pull: 7,
		Judges: []event.Subject{event.OfRun(12)}, Objects: objects, Record: record,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// verdict returns the outcome of an assignment's rule that is not compliant, or compliant.
func verdict(d policy.Decision, assignment string) string {
	out := "none"
	for _, o := range d.Objects {
		for _, v := range o.Verdicts {
			if v.Assignment == assignment && (out == "none" || v.Outcome != rule.Compliant) {
				out = v.Outcome
			}
		}
	}
	return out
}

func (w *world) said(t testing.TB, typ string) []event.Event {
	t.Helper()
	out, err := w.log.Read(t.Context(), event.Query{Type: typ})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func doc(format string, args ...any) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(format, args...))
}

const nopriv = `{"apiVersion":"templates.gatekeeper.sh/v1","kind":"ConstraintTemplate","metadata":{"name":"shopnopriv"},"spec":{"crd":{"spec":{"names":{"kind":"ShopNoPriv"}}},
"targets":[{"target":"admission.k8s.gatekeeper.sh","rego":"package a\nviolation[{\"msg\": msg}] { input.review.object.spec.containers[_].securityContext.privileged; msg := \"no\" }"}]}}`

func definition(name, effect, template string) json.RawMessage {
	return doc(`{"name":%q,"properties":{"displayName":"Mine","mode":"Microsoft.Kubernetes.Data","version":"1.0.0","policyRule":{"if":{"field":"type","equals":"Microsoft.ContainerService/managedClusters"},
		"then":{"effect":%q,"details":{"templateInfo":{"sourceType":"Base64Encoded","content":%q},"apiGroups":[""],"kinds":["Pod"],"excludedNamespaces":[]}}}}}`,
		name, effect, base64.StdEncoding.EncodeToString([]byte(template)))
}

func TestSeedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		if _, err := w.Decide(t.Context(), policy.Question{Objects: []policy.Object{pod("shop-production", "a", false)}}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("judged before it was seeded: %v", err)
		}
		for range 2 {
			if err := w.Seed(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		all, err := w.Assignments(t.Context(), reader, "")
		if err != nil || len(all) != 2 || all[0].Name != policy.Baseline || all[0].Effect != rule.Deny || all[1].Name != policy.SupplyChain || all[1].Effect != rule.Audit {
			t.Fatalf("Assignments() = %+v, %v", all, err)
		}
		if len(all[0].Rules) < 10 || !strings.HasPrefix(all[0].Policy, "sha256:") {
			t.Errorf("baseline: %d rules, policy %q", len(all[0].Rules), all[0].Policy)
		}
		if err := w.Unassign(t.Context(), admin, policy.SupplyChain); err != nil {
			t.Fatal(err)
		}
		if err := w.Seed(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Assignment(t.Context(), admin, policy.SupplyChain); !fault.Is(err, fault.NotFound) {
			t.Errorf("the removed assignment came back: %v", err)
		}
		if got := len(w.said(t, event.TypePolicyChanged)); got != 3 {
			t.Errorf("%d events, want 2 created and 1 deleted", got)
		}
	})
}

func TestDecideAndRecord(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		if err := w.Seed(t.Context()); err != nil {
			t.Fatal(err)
		}
		good := w.decide(t, policy.RecordRefusals, pod("shop-production", "good", false))
		if !good.Allowed || good.ID != "" || verdict(good, policy.Baseline) != rule.Compliant || good.Set != w.Current().Digest() {
			t.Errorf("good: %+v", good)
		}
		o := pod("shop-production", "bad", true)
		o.Source = policy.Source{File: "chart/templates/pod.yaml", Line: 3, Lines: func(string) (string, int) { return "chart/values.yaml", 9 }}
		bad := w.decide(t, policy.RecordRefusals, pod("shop-production", "good", false), o)
		if bad.Allowed || bad.ID == "" || verdict(bad, policy.Baseline) != rule.Denied {
			t.Errorf("bad: %+v", bad)
		}
		stored, err := w.Decision(t.Context(), reader, bad.ID)
		if err != nil {
			t.Fatal(err)
		}
		for i := range bad.Objects {
			for j := range bad.Objects[i].Verdicts {
				for k := range bad.Objects[i].Verdicts[j].At {
					bad.Objects[i].Verdicts[j].At[k].Lines = nil
				}
			}
		}
		if diff := cmp.Diff(bad, stored); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
		events := w.said(t, event.TypeDecisionMade)
		if len(events) != 1 {
			t.Fatalf("%d events", len(events))
		}
		var p event.DecisionMade
		if err := events[0].Into(&p); err != nil {
			t.Fatal(err)
		}
		if events[0].Subject != event.Of(event.KindDecision, bad.ID) || p.Allowed || p.Object != "2 objects" || p.Input != bad.Input || len(p.Verdicts) == 0 {
			t.Errorf("event %+v, payload %+v", events[0], p)
		}
		if v := p.Verdicts[0]; v.Assignment != policy.Baseline || v.File != "chart/values.yaml" || v.Line != 9 || v.Object != "Pod shop-production/bad" || !strings.Contains(v.Path, "privileged") || v.Fix == "" {
			t.Errorf("verdict %+v", v)
		}
		if diff := cmp.Diff([]event.Link{{Rel: event.RelJudges, To: event.OfRun(12)}}, events[0].Links); diff != "" {
			t.Errorf("links (-want +got):\n%s", diff)
		}
		none := w.decide(t, policy.RecordNone, pod("shop-production", "bad", true))
		if none.ID != "" || none.Allowed {
			t.Errorf("a preview: %+v", none)
		}
		all := w.decide(t, policy.RecordAll, pod("shop-production", "good", false))
		no, yes := false, true
		for name, tt := range map[string]struct {
			f    policy.DecisionFilter
			want []string
		}{
			"all":     {policy.DecisionFilter{Project: "shop"}, []string{all.ID, bad.ID}},
			"refused": {policy.DecisionFilter{Project: "shop", Allowed: &no}, []string{bad.ID}},
			"allowed": {policy.DecisionFilter{Project: "shop", Allowed: &yes, Run: 12, Pull: 7, Commit: bad.Commit, Environment: "production", Point: policy.PointAdmission}, []string{all.ID}},
			"before":  {policy.DecisionFilter{Project: "shop", Before: all.ID}, []string{bad.ID}},
			"limit":   {policy.DecisionFilter{Project: "shop", Limit: 1}, []string{all.ID}},
			"other":   {policy.DecisionFilter{Project: "shop", Run: 13}, nil},
		} {
			got, err := w.Decisions(t.Context(), reader, tt.f)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, d := range got {
				ids = append(ids, d.ID)
			}
			if diff := cmp.Diff(tt.want, ids); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

func TestRecordRefusalOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		if err := w.Seed(t.Context()); err != nil {
			t.Fatal(err)
		}
		d := policy.Decision{Point: policy.PointAdmission, Actor: "run:12", Project: "shop", Objects: []policy.Judged{{Kind: "Pod", Name: "a"}}}
		first, fresh, err := w.RecordRefusal(t.Context(), "audit-1", d)
		if err != nil || !fresh || first.ID == "" || first.Set == "" {
			t.Fatalf("RecordRefusal() = %+v, %v, %v", first, fresh, err)
		}
		again, fresh, err := w.RecordRefusal(t.Context(), "audit-1", d)
		if err != nil || fresh || again.ID != first.ID {
			t.Errorf("again: %+v, %v, %v", again, fresh, err)
		}
		if n := len(w.said(t, event.TypeDecisionMade)); n != 1 {
			t.Errorf("%d events", n)
		}
		if _, _, err := w.RecordRefusal(t.Context(), "", d); err == nil {
			t.Error("a refusal without a key was recorded")
		}
	})
}

func TestInputDigestIsWhatWasAskedFor(t *testing.T) {
	object := func(change func(o, meta map[string]any)) string {
		t.Helper()
		meta := map[string]any{"name": "a"}
		o := map[string]any{"kind": "Pod", "metadata": meta, "spec": map[string]any{"x": 1.0}}
		change(o, meta)
		d, err := policy.InputDigest(o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	base := object(func(_, _ map[string]any) {})
	made := object(func(o, meta map[string]any) {
		o["status"] = map[string]any{"phase": "Running"}
		for _, f := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"} {
			meta[f] = "x"
		}
	})
	if made != base {
		t.Error("fields that the server makes are in the digest")
	}
	for name, change := range map[string]func(o, meta map[string]any){
		"label": func(_, meta map[string]any) { meta["labels"] = map[string]any{"a": "b"} },
		"spec":  func(o, _ map[string]any) { o["spec"] = map[string]any{"x": 2.0} },
	} {
		if object(change) == base {
			t.Errorf("%s is not in the digest", name)
		}
	}
}

// assignment is an assignment of the definition mine.
func assignment(name, scope string) json.RawMessage {
	return doc(`{"name":%q,"properties":{"policyDefinitionId":"/providers/Microsoft.Authorization/policySetDefinitions/restricted","scope":%q}}`, name, scope)
}

func exemption(name, assignment, more string) json.RawMessage {
	return doc(`{"name":%q,"properties":{"policyAssignmentId":%q,"exemptionCategory":"Waiver"%s}}`, name, assignment, more)
}

func TestWhoMayWrite(t *testing.T) {
	w := seeded(t)
	if _, err := w.Assign(t.Context(), maintainer, assignment("mine", "project:shop")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		actor identity.Actor
		do    func(identity.Actor) error
		want  fault.Kind
	}{
		{"nobody applies", identity.Actor{}, func(a identity.Actor) error {
			_, err := w.Apply(t.Context(), a, assignment("x", "project:shop"))
			return err
		}, fault.Unauthentic},
		{"a reader assigns", reader, func(a identity.Actor) error {
			_, err := w.Assign(t.Context(), a, assignment("x", "project:shop"))
			return err
		}, fault.Denied},
		{"a stranger assigns", stranger, func(a identity.Actor) error {
			_, err := w.Assign(t.Context(), a, assignment("x", "project:shop"))
			return err
		}, fault.NotFound},
		{"a maintainer assigns to the platform", maintainer, func(a identity.Actor) error {
			_, err := w.Assign(t.Context(), a, assignment("x", "platform"))
			return err
		}, fault.Denied},
		{"a maintainer assigns to a cluster", maintainer, func(a identity.Actor) error {
			_, err := w.Assign(t.Context(), a, assignment("x", "cluster:embedded"))
			return err
		}, fault.Denied},
		{"a maintainer assigns to another project", maintainer, func(a identity.Actor) error {
			_, err := w.Assign(t.Context(), a, assignment("x", "environment:blog/production"))
			return err
		}, fault.NotFound},
		{"a maintainer replaces the platform's by his own", maintainer, func(a identity.Actor) error {
			_, err := w.Assign(t.Context(), a, assignment("baseline", "project:shop"))
			return err
		}, fault.Denied},
		{"a maintainer removes the platform's", maintainer, func(a identity.Actor) error { return w.Unassign(t.Context(), a, "baseline") }, fault.Denied},
		{"a maintainer exempts from the platform's", maintainer, func(a identity.Actor) error {
			_, err := w.Exempt(t.Context(), a, exemption("x", "baseline", `,"scope":"project:shop"`))
			return err
		}, fault.Denied},
		{"the project's admin exempts from the platform's", owner, func(a identity.Actor) error {
			_, err := w.Exempt(t.Context(), a, exemption("x", "baseline", `,"scope":"project:shop"`))
			return err
		}, fault.Denied},
		{"a maintainer exempts from the project's", maintainer, func(a identity.Actor) error {
			_, err := w.Exempt(t.Context(), a, exemption("x", "mine", ""))
			return err
		}, fault.Denied},
		{"the project's admin exempts from the project's", owner, func(a identity.Actor) error {
			_, err := w.Exempt(t.Context(), a, exemption("x", "mine", ""))
			return err
		}, ""},
		{"the project's admin moves his exemption to the platform's", owner, func(a identity.Actor) error {
			_, err := w.Exempt(t.Context(), a, exemption("x", "baseline", ""))
			return err
		}, fault.Denied},
		{"an exemption from nothing", owner, func(a identity.Actor) error {
			_, err := w.Exempt(t.Context(), a, exemption("y", "nothing", ""))
			return err
		}, fault.Denied},
		{"an administrator's exemption from nothing", admin, func(a identity.Actor) error {
			_, err := w.Exempt(t.Context(), a, exemption("y", "nothing", ""))
			return err
		}, fault.NotFound},
		{"a maintainer writes a definition", maintainer, func(a identity.Actor) error {
			_, err := w.Apply(t.Context(), a, definition("own", "Deny", nopriv))
			return err
		}, fault.Denied},
		{"an administrator exempts from the platform's", admin, func(a identity.Actor) error {
			_, err := w.Exempt(t.Context(), a, exemption("z", "baseline", ""))
			return err
		}, ""},
		{"a reader lists decisions of another project", reader, func(a identity.Actor) error {
			_, err := w.Decisions(t.Context(), a, policy.DecisionFilter{Project: "blog"})
			return err
		}, fault.NotFound},
		{"a reader lists all decisions", reader, func(a identity.Actor) error {
			_, err := w.Decisions(t.Context(), a, policy.DecisionFilter{})
			return err
		}, fault.Denied},
		{"nobody reads", identity.Actor{}, func(a identity.Actor) error { _, err := w.Definitions(t.Context(), a); return err }, fault.Unauthentic},
	}
	for _, tt := range tests {
		if err := tt.do(tt.actor); fault.KindOf(err) != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestReadersSeeTheirOwn(t *testing.T) {
	w := seeded(t)
	for name, scope := range map[string]string{"shop-all": "project:shop", "blog-prod": "environment:blog/production"} {
		if _, err := w.Assign(t.Context(), admin, assignment(name, scope)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Exempt(t.Context(), admin, exemption("of-"+name, name, "")); err != nil {
			t.Fatal(err)
		}
	}
	seen := func(actor identity.Actor, project string) (out []string) {
		t.Helper()
		as, err := w.Assignments(t.Context(), actor, project)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range as {
			out = append(out, a.Name)
		}
		es, err := w.Exemptions(t.Context(), actor, project)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			out = append(out, e.Name)
		}
		return out
	}
	if diff := cmp.Diff([]string{"baseline", "shop-all", "supply-chain", "of-shop-all"}, seen(reader, "shop")); diff != "" {
		t.Errorf("reader of shop (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"baseline", "supply-chain"}, seen(stranger, "")); diff != "" {
		t.Errorf("stranger (-want +got):\n%s", diff)
	}
	if _, err := w.Assignments(t.Context(), reader, "blog"); !fault.Is(err, fault.NotFound) {
		t.Errorf("assignments of another project: %v", err)
	}
	d, err := w.Definition(t.Context(), stranger, "container-no-privilege")
	if err != nil || !d.BuiltIn || d.Program == "" || d.Engine != rule.CEL || !cmp.Equal(d.UsedBy, []string{"baseline"}) {
		t.Errorf("Definition() = built in %v, %s, used by %v, %v", d.BuiltIn, d.Engine, d.UsedBy, err)
	}
	i, err := w.Initiative(t.Context(), stranger, "baseline")
	if err != nil || !i.BuiltIn || len(i.Members) == 0 || !cmp.Equal(i.UsedBy, []string{"baseline"}) {
		t.Errorf("Initiative() = %+v, %v", i, err)
	}
}

func TestWhatDoesNotCompileChangesNothing(t *testing.T) {
	w := seeded(t)
	if _, err := w.Apply(t.Context(), admin, definition("mine", "Deny", nopriv)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Assign(t.Context(), admin, doc(`{"name":"mine","properties":{"policyDefinitionId":"mine","scope":"platform"}}`)); err != nil {
		t.Fatal(err)
	}
	before, events := w.Current(), len(w.said(t, event.TypePolicyChanged))
	tests := map[string]struct {
		doc  json.RawMessage
		want []string
	}{
		"unknown effect":                 {definition("evil", "Explode", nopriv), []string{"policyRule.then.effect", "Explode"}},
		"mutate":                         {definition("evil", "Mutate", nopriv), []string{"mutate is not supported yet"}},
		"template that is no template":   {definition("evil", "Deny", "{}"), []string{"evil", "constraint template is expected"}},
		"template that does not compile": {definition("evil", "Deny", strings.Replace(nopriv, "msg := ", "msg := nonsense(1); ", 1)), []string{"evil", "ShopNoPriv", "does not compile", "nonsense"}},
		"assigned one stops compiling":   {definition("mine", "Deny", strings.Replace(nopriv, "msg := ", "msg := nonsense(1); ", 1)), []string{"mine", "does not compile"}},
		"missing template": {doc(`{"name":"evil","properties":{"mode":"Microsoft.Kubernetes.Data","version":"1.0.0","policyRule":{"if":{"field":"type","equals":"x"},"then":{"effect":"Deny","details":{
			"templateInfo":{"sourceType":"PublicURL","url":"https://store.policy.core.windows.net/kubernetes/no-such-thing/v3/template.yaml"},"apiGroups":[""],"kinds":["Pod"],"excludedNamespaces":[]}}}}}`),
			[]string{"no-such-thing/v3", "not in the catalogue", "Base64Encoded"}},
		"missing target":     {assignmentOf("nothing"), []string{"nothing"}},
		"unknown parameter":  {doc(`{"name":"x","properties":{"policyDefinitionId":"restricted","scope":"platform","parameters":{"colour":{"value":"red"}}}}`), []string{"parameters.colour"}},
		"built-in":           {definition("container-no-privilege", "Deny", nopriv), []string{"comes with the platform"}},
		"exemption too late": {exemption("late", "mine", `,"expiresOn":"2026-04-30T00:00:00Z"`), []string{"expiresOn"}},
		"unknown reference":  {exemption("odd", "baseline", `,"policyDefinitionReferenceIds":["nothing"]`), []string{"nothing"}},
		"no policy":          {doc(`{"name":"x","properties":{}}`), []string{"no policy document"}},
		"no JSON":            {doc(`{`), []string{"not JSON"}},
	}
	for name, tt := range tests {
		_, err := w.Apply(t.Context(), admin, tt.doc)
		message, next := fault.Public(err)
		for _, want := range tt.want {
			if !strings.Contains(message+" "+next, want) {
				t.Errorf("%s: %v does not say %q", name, err, want)
			}
		}
		if w.Current() != before {
			t.Errorf("%s: another set is in force", name)
		}
	}
	if n := len(w.said(t, event.TypePolicyChanged)); n != events {
		t.Errorf("%d events came of refused changes", n-events)
	}
	if err := w.Reload(t.Context()); err != nil || w.Current().Digest() != before.Digest() {
		t.Errorf("what is stored is not what was in force: %v", err)
	}
	if err := w.Remove(t.Context(), admin, "definition", "mine"); !fault.Is(err, fault.Conflict) {
		t.Errorf("removing a definition that is in use: %v", err)
	}
	if err := w.Unassign(t.Context(), admin, "mine"); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(t.Context(), admin, "definition", "mine"); err != nil {
		t.Errorf("removing a definition that nothing uses: %v", err)
	}
}

func assignmentOf(target string) json.RawMessage {
	return doc(`{"name":"x","properties":{"policyDefinitionId":%q,"scope":"platform"}}`, target)
}

func TestApplySaysWhatItDid(t *testing.T) {
	w := seeded(t)
	changed := w.Changed()
	for i, want := range []string{policy.Created, policy.Unchanged, policy.Changed} {
		raw := assignment("mine", "project:shop")
		if i == 2 {
			raw = assignment("mine", "environment:shop/production")
		}
		got, err := w.Apply(t.Context(), maintainer, raw)
		if err != nil || got.Action != want || got.Kind != "assignment" || got.Name != "mine" || got.Set != w.Current().Digest() {
			t.Errorf("Apply() = %+v, %v, want %s", got, err, want)
		}
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told that another set is in force")
	}
	events := w.said(t, event.TypePolicyChanged)
	last := events[len(events)-1]
	var p event.PolicyChanged
	if err := last.Into(&p); err != nil || p.Action != policy.Changed || p.Set != w.Current().Digest() || last.Project != "shop" || last.Actor != "user:maintainer" {
		t.Errorf("event %+v, payload %+v, %v", last, p, err)
	}
}

func TestExemptionsHoldUntilTheyExpire(t *testing.T) {
	w := seeded(t)
	bad := pod("shop-production", "bad", true)
	raw := exemption("debug", "baseline", `,"expiresOn":"2026-05-01T13:00:00Z","scope":"environment:shop/production","objects":[{"kind":"Pod","namespace":"shop-production","name":"bad"}]`)
	if _, err := w.Exempt(t.Context(), admin, raw); err != nil {
		t.Fatal(err)
	}
	if d := w.decide(t, policy.RecordNone, bad); !d.Allowed || verdict(d, policy.Baseline) != rule.Exempt {
		t.Errorf("exempt: %v, %s", d.Allowed, verdict(d, policy.Baseline))
	}
	if d := w.decide(t, policy.RecordNone, pod("shop-production", "other", true)); d.Allowed {
		t.Error("another pod is exempt too")
	}
	with := w.Current().Digest()
	w.clock.Add(time.Hour)
	if d := w.decide(t, policy.RecordNone, bad); d.Allowed {
		t.Error("an exemption that has expired was honoured before the next compilation")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	changed := w.Changed()
	go func() { done <- w.Run(ctx) }()
	<-changed
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if w.Current().Digest() == with || len(w.Current().Exemptions()) != 0 {
		t.Error("the expired exemption is still in the set")
	}
	events := w.said(t, event.TypePolicyChanged)
	var p event.PolicyChanged
	if err := events[len(events)-1].Into(&p); err != nil || p.Action != policy.Expired || p.Name != "debug" {
		t.Errorf("the last event is %+v, %v", p, err)
	}
	es, err := w.Exemptions(t.Context(), admin, "")
	if err != nil || len(es) != 1 || !es[0].Expired {
		t.Errorf("the record of it: %+v, %v", es, err)
	}
	if err := w.Unexempt(t.Context(), owner, "debug"); !fault.Is(err, fault.Denied) {
		t.Errorf("a project's admin removed it: %v", err)
	}
	if err := w.Unexempt(t.Context(), admin, "debug"); err != nil {
		t.Error(err)
	}
}

func TestExemptionsGoWithTheirAssignment(t *testing.T) {
	w := seeded(t)
	if _, err := w.Exempt(t.Context(), admin, exemption("all", "baseline", "")); err != nil {
		t.Fatal(err)
	}
	raw, err := w.Assignment(t.Context(), admin, "baseline")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Unassign(t.Context(), admin, "baseline"); err != nil {
		t.Fatal(err)
	}
	if d := w.decide(t, policy.RecordNone, pod("shop-production", "bad", true)); !d.Allowed {
		t.Error("the removed assignment still refuses")
	}
	if _, err := w.Assign(t.Context(), admin, raw.Document); err != nil {
		t.Fatal(err)
	}
	if d := w.decide(t, policy.RecordNone, pod("shop-production", "bad", true)); d.Allowed {
		t.Error("an old exemption holds for a new assignment of the same name")
	}
}

func TestPlacesAreReloaded(t *testing.T) {
	w := seeded(t)
	if _, err := w.Assign(t.Context(), admin, assignment("mine", "environment:shop/review")); err != nil {
		t.Fatal(err)
	}
	o := pod("shop-review", "a", false)
	if got := verdict(w.decide(t, policy.RecordNone, o), "mine"); got != "none" {
		t.Errorf("before: %s", got)
	}
	w.places.mu.Lock()
	w.places.list = append(w.places.list, rule.Place{Cluster: "embedded", Namespace: "shop-review", Project: "shop", Environment: "review"})
	w.places.mu.Unlock()
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := verdict(w.decide(t, policy.RecordNone, o), "mine"); got != rule.Denied {
		t.Errorf("after: %s", got)
	}
}

// A transaction that learns of a place and a change of documents that waits for a transaction:
// neither may wait for the other.
func TestPlacesChangeInATransaction(t *testing.T) {
	w := seeded(t)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- w.Run(ctx) }()
	changed := make(chan error, 1)
	err := w.DB.Tx(t.Context(), func(tx *store.Tx) error {
		go func() {
			_, err := w.Assign(ctx, admin, assignment("mine", "environment:shop/review"))
			changed <- err
		}()
		time.Sleep(100 * time.Millisecond) // It has locked what it changes, and waits.
		w.places.mu.Lock()
		w.places.list = append(w.places.list, rule.Place{Cluster: "embedded", Namespace: "shop-review", Project: "shop", Environment: "review"})
		w.places.mu.Unlock()
		w.PlacesChanged()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
	for verdict(w.decide(t, policy.RecordNone, pod("shop-review", "a", false)), "mine") != rule.Denied {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-over; err != nil {
		t.Fatal(err)
	}
}

func TestImagesSurviveASwap(t *testing.T) {
	w := seeded(t)
	o := pod("shop-production", "a", false)
	if got := verdict(w.decide(t, policy.RecordNone, o), policy.SupplyChain); got != rule.Audited {
		t.Fatalf("an image that nobody knows: %s", got)
	}
	err := w.PutImage(t.Context(), rule.Image{Digest: "sha256:" + strings.Repeat("a", 64), Repositories: []string{"shop/web"}, Signed: true, Scanned: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := verdict(w.decide(t, policy.RecordNone, o), policy.SupplyChain); got != rule.Compliant {
			t.Errorf("a good image: %s", got)
		}
		if err := w.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// While sets are swapped, images put and objects judged, each answer is that of one set.
func TestSwapAndReviewTogether(t *testing.T) {
	w := seeded(t)
	deny, audit := w.Current().Digest(), ""
	raw, err := w.Assignment(t.Context(), admin, "baseline")
	if err != nil {
		t.Fatal(err)
	}
	softer := json.RawMessage(strings.Replace(string(raw.Document), `"Deny"`, `"Audit"`, 1))
	out, err := w.Assign(t.Context(), admin, softer)
	if err != nil {
		t.Fatal(err)
	}
	audit = out.Set
	if audit == deny {
		t.Fatal("the digests are the same")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				d, err := w.Decide(t.Context(), policy.Question{Objects: []policy.Object{pod("shop-production", "bad", true)}, Record: policy.RecordNone})
				if err != nil || d.Allowed != (d.Set == audit) || d.Set != audit && d.Set != deny {
					t.Errorf("allowed %v by set %s, %v", d.Allowed, d.Set, err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := w.PutImage(t.Context(), rule.Image{Digest: fmt.Sprintf("sha256:%064d", i%50)}); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		for _, doc := range []json.RawMessage{raw.Document, softer} {
			if _, err := w.Assign(t.Context(), admin, doc); err != nil {
				t.Error(err)
			}
		}
	}
	cancel()
	wg.Wait()
}
