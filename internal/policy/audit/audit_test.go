package audit_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/catalog"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// patience bounds every wait; it only decides how long a broken product takes to fail.
const patience = 30 * time.Second

var (
	root = identity.SystemActor("test")
	ada  = identity.Actor{Kind: identity.KindUser, Name: "ada"}
)

// members knows that ada is a member of project shop.
type members struct{}

func (members) Require(_ context.Context, a identity.Actor, project string, _ identity.Role) error {
	if a.Admin || a == ada && project == "shop" {
		return nil
	}
	return errors.New("denied")
}

func (members) RequireAdmin(_ context.Context, a identity.Actor) error {
	if a.Admin {
		return nil
	}
	return errors.New("denied")
}

type places []rule.Place

func (p places) Places(context.Context) ([]rule.Place, error) { return p, nil }

// appliers says that run 7 applied everything that is called after it.
type appliers struct{}

func (appliers) Behind(_ context.Context, s enforce.Self) (enforce.Applied, bool, error) {
	if strings.HasPrefix(s.Name, "seven") {
		return enforce.Applied{Actor: "run:7", Run: 7, Job: "Deploy.Production", Commit: "41ab07d", Project: "shop"}, true, nil
	}
	return enforce.Applied{}, false, nil
}

type namespaces struct{}

func (namespaces) Labels(string) map[string]string { return nil }

// bench is an audit at work.
type bench struct {
	t        testing.TB
	db       *store.DB
	api      *api
	policies *policy.Service
	audit    *audit.Service
	stop     func()
	wait     time.Duration // bounds every wait
}

func newBench(t testing.TB, db *store.DB) *bench {
	t.Helper()
	b := &bench{t: t, db: db, api: newAPI(t), wait: patience}
	cat, err := catalog.Open()
	if err != nil {
		t.Fatal(err)
	}
	b.policies, err = policy.New(policy.Parts{
		DB: db, Log: event.New(db, clock.System()), Auth: members{}, Clock: clock.System(), Catalogue: cat, Logger: slog.New(slog.DiscardHandler),
		Places: places{{Cluster: "embedded", Namespace: "shop-production", Project: "shop", Environment: "production"}},
	}, policy.Options{Registries: []string{"localhost:7080"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.policies.Seed(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// start runs the audit, which can be stopped and started again.
func (b *bench) start() {
	b.t.Helper()
	b.audit = audit.New(audit.Deps{
		DB: b.db, Cluster: b.api, Policies: b.policies, Recorder: b.policies, Appliers: appliers{}, Namespaces: namespaces{}, Auth: members{}, Clock: clock.System(),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}, audit.Options{Cluster: "embedded"})
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	done := make(chan error, 1)
	go func() { done <- b.audit.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("the audit ended: %v", err)
		}
	})
	b.t.Cleanup(b.stop)
	b.synced()
}

func (b *bench) eventually(what string, try func() error) {
	b.t.Helper()
	deadline := time.Now().Add(b.wait)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: not so after %s: %v", what, b.wait, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// synced waits until everything is judged under the set in force.
func (b *bench) synced() {
	b.t.Helper()
	b.eventually("the audit has caught up", func() error {
		if p := b.audit.Progress(); !p.Synced || p.Set != b.policies.Current().Digest() {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
}

func (b *bench) report(f audit.Filter) audit.Report {
	b.t.Helper()
	r, err := b.audit.Compliance(b.t.Context(), root, f)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// outcome returns the verdict of a rule on an object of any kind.
func (b *bench) verdict(name, rule string) (audit.Object, error) {
	for _, o := range b.report(audit.Filter{Text: name, Limit: 2000}).Objects {
		if o.Name == name && o.Rule == rule {
			return o, nil
		}
	}
	return audit.Object{}, fmt.Errorf("no verdict of %s on %s", rule, name)
}

// becomes waits for an outcome.
func (b *bench) becomes(name, rule, outcome string) audit.Object {
	b.t.Helper()
	var out audit.Object
	b.eventually(name+" becomes "+outcome, func() (err error) {
		if out, err = b.verdict(name, rule); err == nil && out.Outcome != outcome {
			err = fmt.Errorf("it is %s", out.Outcome)
		}
		return err
	})
	return out
}

func (b *bench) sweep(want int) {
	b.t.Helper()
	n, err := b.audit.SweepNow(b.t.Context())
	if err != nil || n != want || b.audit.Differences() != want {
		b.t.Errorf("the sweep found %d differences (%d published), want %d; %v", n, b.audit.Differences(), want, err)
	}
}

// found returns the decisions about live objects.
func (b *bench) found() []policy.Decision {
	b.t.Helper()
	d, err := b.policies.Decisions(b.t.Context(), root, policy.DecisionFilter{Point: policy.PointAudit, Limit: 500})
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (b *bench) assign(name, what string, parameters string) {
	b.t.Helper()
	raw := fmt.Sprintf(`{"name":%q,"properties":{"policyDefinitionId":"/providers/Microsoft.Authorization/%s","scope":"platform","parameters":{%s}}}`, name, what, parameters)
	if _, err := b.policies.Assign(b.t.Context(), root, json.RawMessage(raw)); err != nil {
		b.t.Fatal(err)
	}
}

const (
	noPrivilege = "container-no-privilege"
	image0      = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
)

func spec(privileged bool, image string) map[string]any {
	return map[string]any{"containers": []any{map[string]any{"name": "app", "image": image, "securityContext": map[string]any{"privileged": privileged}}}}
}

func pod(namespace, name string, privileged bool) map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"namespace": namespace, "name": name, "uid": "uid-" + namespace + "-" + name},
		"spec": spec(privileged, "localhost:7080/shop/web@"+image0),
	}
}

func deployment(namespace, name string, privileged bool) map[string]any {
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"namespace": namespace, "name": name, "uid": "uid-d-" + namespace + "-" + name},
		"spec": map[string]any{"template": map[string]any{"spec": spec(privileged, "localhost:7080/shop/web@"+image0)}},
	}
}

// ref returns the name of the rule of an assignment whose definition is the one given.
func (b *bench) ref(assignment, definition string) string {
	b.t.Helper()
	for _, r := range b.policies.Current().Rules() {
		if r.Assignment == assignment && r.Definition == definition {
			return r.Reference
		}
	}
	b.t.Fatalf("assignment %s has no rule of definition %s", assignment, definition)
	return ""
}

func TestVerdictsFollowTheCluster(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		b.api.put("pods", pod("shop-production", "good", false))
		b.api.put("deployments", deployment("shop-production", "seven-bad", true))
		b.start()
		privilege := b.ref(policy.Baseline, noPrivilege)
		good, bad := b.becomes("good", privilege, rule.Compliant), b.becomes("seven-bad", privilege, rule.Denied)
		if good.Project != "shop" || good.Environment != "production" || good.Kind != "Pod" || good.Violations != 0 || good.Run != 0 {
			t.Errorf("good: %+v", good)
		}
		if bad.Run != 7 || bad.Actor != "run:7" || bad.Commit != "41ab07d" || bad.Path != "spec.template.spec.containers[name=app].securityContext.privileged" || bad.Message == "" || bad.Policy == "" {
			t.Errorf("bad: %+v", bad)
		}

		// Something else of it changes: the verdict is as old as before.
		again := pod("shop-production", "good", false)
		again["metadata"].(map[string]any)["labels"] = map[string]any{"a": "b"}
		b.api.put("pods", again)
		b.api.put("pods", pod("elsewhere", "later", false))
		b.becomes("later", privilege, rule.Compliant)
		if now := b.becomes("good", privilege, rule.Compliant); !now.Since.Equal(good.Since) || !now.FirstSeen.Equal(good.FirstSeen) {
			t.Errorf("an unchanged verdict is of %s, was of %s", now.Since, good.Since)
		}
		// It gets worse, and better.
		b.api.put("deployments", deployment("shop-production", "seven-bad", false))
		if now := b.becomes("seven-bad", privilege, rule.Compliant); !now.Since.After(bad.Since) || !now.FirstSeen.Equal(bad.FirstSeen) || now.Message != "" {
			t.Errorf("a verdict that changed: %+v, was %+v", now, bad)
		}
		b.sweep(0)
		b.api.remove("pods", "elsewhere", "later")
		b.eventually("what is gone is gone", func() error {
			if n := b.report(audit.Filter{Text: "later"}).Total; n > 0 {
				return fmt.Errorf("%d verdicts", n)
			}
			return nil
		})
		b.sweep(0)
		if p := b.audit.Progress(); p.Objects != 2 || p.Sweeps != 2 || p.Total != 0 || p.Lag.Count == 0 {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestWhatWasMissedIsFoundAfterAStart(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.api.put("pods", pod("shop-production", "leaves", false))
	b.api.put("pods", pod("shop-production", "turns", false))
	b.start()
	privilege := b.ref(policy.Baseline, noPrivilege)
	since := b.becomes("turns", privilege, rule.Compliant).Since
	b.becomes("leaves", privilege, rule.Compliant)
	b.stop()
	b.api.remove("pods", "shop-production", "leaves")
	b.api.put("pods", pod("shop-production", "turns", true))
	b.api.put("pods", pod("shop-production", "comes", false))
	b.start()
	if o := b.becomes("turns", privilege, rule.Denied); !o.Since.After(since) {
		t.Errorf("since %s, was %s", o.Since, since)
	}
	b.becomes("comes", privilege, rule.Compliant)
	if n := b.report(audit.Filter{Text: "leaves"}).Total; n != 0 {
		t.Errorf("%d verdicts on what is gone", n)
	}
	b.sweep(0)
}

func TestAViolationIsADecisionOnce(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.start()
	b.api.put("pods", pod("shop-production", "seven", true))
	privilege := b.ref(policy.Baseline, noPrivilege)
	b.becomes("seven", privilege, rule.Denied)
	b.api.put("pods", pod("shop-production", "seven", true))
	b.sweep(0)
	b.stop()
	b.start()
	d := b.found()
	if len(d) != 1 {
		t.Fatalf("%d decisions: %+v", len(d), d)
	}
	want := []event.Subject{"pod:uid-shop-production-seven", "run:7", "commit:41ab07d"}
	if diff := cmp.Diff(want, d[0].Judges); diff != "" || d[0].Allowed || d[0].Project != "shop" || d[0].Run != 7 || !strings.HasPrefix(d[0].Input, "sha256:") {
		t.Errorf("decision %+v\n%s", d[0], diff)
	}
	// It is put right, and broken again: that is the same rule on the same object.
	b.api.put("pods", pod("shop-production", "seven", false))
	b.becomes("seven", privilege, rule.Compliant)
	b.api.put("pods", pod("shop-production", "seven", true))
	b.becomes("seven", privilege, rule.Denied)
	if n := len(b.found()); n != 1 {
		t.Errorf("%d decisions", n)
	}
}

func TestAnotherSetConcernsItsKinds(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.api.put("pods", pod("shop-production", "cart", false))
	b.api.put("deployments", deployment("shop-production", "cart", false))
	b.start()
	pods := b.api.listed("pods")
	definition := `{"name":"no-cart","type":"Microsoft.Authorization/policyDefinitions","properties":{"displayName":"No cart","version":"1.0.0","mode":"Microsoft.Kubernetes.Data",
		"policyRule":{"if":{"field":"type","in":["Microsoft.Kubernetes/connectedClusters"]},"then":{"effect":"deny","details":{
		"templateInfo":{"sourceType":"Base64Encoded","content":"` + noCart + `"},"apiGroups":["apps"],"kinds":["Deployment"],"excludedNamespaces":[]}}}}}`
	if _, err := b.policies.Apply(t.Context(), root, json.RawMessage(definition)); err != nil {
		t.Fatal(err)
	}
	b.assign("no-cart", "policyDefinitions/no-cart", "")
	b.synced()
	b.becomes("cart", b.ref("no-cart", "no-cart"), rule.Denied)
	if n := b.api.listed("pods"); n != pods {
		t.Errorf("pods were listed %d more times for a rule about Deployments", n-pods)
	}
	if n := len(b.found()); n != 0 {
		t.Errorf("%d decisions: what was there before a rule did not pass it by", n)
	}
	b.sweep(0)
	if err := b.policies.Unassign(t.Context(), root, "no-cart"); err != nil {
		t.Fatal(err)
	}
	b.synced()
	if n := b.report(audit.Filter{Assignment: "no-cart"}).Total; n != 0 {
		t.Errorf("%d verdicts of what is no longer assigned", n)
	}
	b.sweep(0)
}

// noCart is a template that refuses everything called cart, in base 64.
var noCart = encode(`{"apiVersion":"templates.gatekeeper.sh/v1","kind":"ConstraintTemplate","metadata":{"name":"nocart"},"spec":{"crd":{"spec":{"names":{"kind":"NoCart"}}},
	"targets":[{"target":"admission.k8s.gatekeeper.sh","code":[{"engine":"K8sNativeValidation","source":{"validations":[{"expression":"object.metadata.name != 'cart'","message":"metadata.name: no cart"}]}}]}]}}`)

func TestAnExemptionConcernsItsObjects(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.api.put("pods", pod("shop-production", "old", true))
	b.api.put("pods", pod("shop-production", "older", true))
	b.start()
	privilege := b.ref(policy.Baseline, noPrivilege)
	b.becomes("old", privilege, rule.Denied)
	pods := b.api.listed("pods")
	exempt := func(expires time.Time) {
		t.Helper()
		raw := fmt.Sprintf(`{"name":"old-pod","properties":{"policyAssignmentId":"baseline","exemptionCategory":"Waiver","expiresOn":%q,
			"description":"it goes soon","metadata":{"requestedBy":"ada"},"objects":[{"kind":"Pod","namespace":"shop-production","name":"old"}]}}`, expires.UTC().Format(time.RFC3339Nano))
		if _, err := b.policies.Exempt(t.Context(), root, json.RawMessage(raw)); err != nil {
			t.Fatal(err)
		}
	}
	exempt(time.Now().Add(time.Hour))
	if o := b.becomes("old", privilege, rule.Exempt); o.Exemption != "old-pod" {
		t.Errorf("exempt: %+v", o)
	}
	b.becomes("older", privilege, rule.Denied)
	if n := b.api.listed("pods"); n != pods {
		t.Errorf("pods were listed %d more times for an exemption of one", n-pods)
	}
	b.synced()
	b.sweep(0)
	exempt(time.Now().Add(time.Second))
	b.becomes("old", privilege, rule.Denied)
	b.sweep(0)
}

func TestAnImageConcernsItsPods(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	b.api.put("pods", pod("shop-production", "web", false))
	b.start()
	verdict := b.ref(policy.SupplyChain, "container-image-verdict")
	since := b.becomes("web", verdict, rule.Audited).Since
	if err := b.policies.PutImage(t.Context(), rule.Image{Digest: image0, Repositories: []string{"shop/web"}, Signed: true, Scanned: true}); err != nil {
		t.Fatal(err)
	}
	b.audit.ImageChanged(image0)
	if o := b.becomes("web", verdict, rule.Compliant); !o.Since.After(since) {
		t.Errorf("since %s, was %s", o.Since, since)
	}
	b.sweep(0)
}

func TestTheSweepFindsWhatDiffers(t *testing.T) {
	b := newBench(t, storetest.SQLite(t))
	for _, n := range []string{"a", "b", "c"} {
		b.api.put("pods", pod("shop-production", n, false))
	}
	b.start()
	b.sweep(0)
	for _, q := range []string{
		`UPDATE audit_verdict SET outcome = 'denied' WHERE object = (SELECT id FROM audit_object WHERE name = 'a')`,
		`DELETE FROM audit_object WHERE name = 'b'`,
		`INSERT INTO audit_object (id, cluster, uid, api_group, kind, namespace, name, project, environment, actor, run, commit_sha, images)
			VALUES (900, 'embedded', 'ghost', '', 'Pod', 'shop-production', 'ghost', '', '', '', 0, '', '')`,
	} {
		if _, err := b.db.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	b.sweep(3)
	b.sweep(0)
	privilege := b.ref(policy.Baseline, noPrivilege)
	for _, n := range []string{"a", "b", "c"} {
		b.becomes(n, privilege, rule.Compliant)
	}
}

func TestCompliance(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		b.api.put("pods", pod("shop-production", "good", false))
		b.api.put("pods", pod("shop-production", "bad", true))
		b.api.put("pods", pod("elsewhere", "bad", true))
		b.start()
		all := b.report(audit.Filter{Assignment: policy.Baseline})
		if len(all.Assignments) != 1 || !all.Synced {
			t.Fatalf("report %+v", all)
		}
		a := all.Assignments[0]
		if diff := cmp.Diff(map[string]int{rule.Compliant: 1, rule.Denied: 2}, a.Outcomes); diff != "" || a.Objects != 3 || a.Percent < 33.3 || a.Percent > 33.4 || a.Since.IsZero() {
			t.Errorf("assignment %+v\n%s", a, diff)
		}
		if all.Objects[0].Outcome != rule.Denied || all.Total != len(all.Objects) || all.Total < 3 {
			t.Errorf("%d of %d verdicts, the first %+v", len(all.Objects), all.Total, all.Objects[0])
		}
		for _, c := range []struct {
			filter audit.Filter
			want   int
		}{
			{audit.Filter{Assignment: policy.Baseline, Outcome: rule.Denied}, 2},
			{audit.Filter{Assignment: policy.Baseline, Outcome: audit.Violated, Namespace: "elsewhere"}, 1},
			{audit.Filter{Assignment: policy.Baseline, Outcome: rule.Denied, Project: "shop"}, 1},
			{audit.Filter{Assignment: policy.Baseline, Outcome: rule.Denied, Project: "shop", Environment: "staging"}, 0},
			{audit.Filter{Assignment: policy.Baseline, Kind: "Deployment"}, 0},
			{audit.Filter{Assignment: policy.Baseline, Outcome: rule.Denied, Text: "BAD"}, 2},
			{audit.Filter{Assignment: policy.Baseline, Outcome: rule.Denied, Text: "%"}, 0},
			{audit.Filter{Assignment: policy.Baseline, Outcome: rule.Denied, Limit: 1, Offset: 1}, 2},
		} {
			r := b.report(c.filter)
			rest := max(0, c.want-c.filter.Offset)
			if c.filter.Limit > 0 {
				rest = min(rest, c.filter.Limit)
			}
			if r.Total != c.want || len(r.Objects) != rest {
				t.Errorf("%+v selects %d verdicts and shows %d, want %d and %d", c.filter, r.Total, len(r.Objects), c.want, rest)
			}
		}
		mine, err := b.audit.Compliance(t.Context(), ada, audit.Filter{Project: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range mine.Objects {
			if o.Namespace != "shop-production" {
				t.Errorf("a member of shop sees %+v", o)
			}
		}
		for _, f := range []audit.Filter{{}, {Project: "other"}, {Namespace: "shop-production"}} {
			if _, err := b.audit.Compliance(t.Context(), ada, f); err == nil {
				t.Errorf("a member of shop may see %+v", f)
			}
		}
		for _, f := range []audit.Filter{{Environment: "production"}, {Outcome: "fine"}, {Limit: -1}, {Limit: audit.MaxLimit + 1}} {
			if _, err := b.audit.Compliance(t.Context(), root, f); err == nil {
				t.Errorf("%+v is accepted", f)
			}
		}
	})
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
