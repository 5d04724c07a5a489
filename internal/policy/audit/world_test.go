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

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/catalog"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
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
		DB: b.db, Log: event.New(b.db, clock.System()), Cluster: b.api, Policies: b.policies, Recorder: b.policies, Appliers: appliers{}, Namespaces: namespaces{}, Auth: members{}, Clock: clock.System(),
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

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// verdictsOf lists the verdicts of a rule on everything with a name.
func (b *bench) verdictsOf(name, rule string) []audit.Object {
	b.t.Helper()
	var out []audit.Object
	for _, o := range b.report(audit.Filter{Text: name, Limit: audit.MaxLimit}).Objects {
		if o.Name == name && o.Rule == rule {
			out = append(out, o)
		}
	}
	return out
}
