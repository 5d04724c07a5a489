package engine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func now() time.Time { return noon }

func template(t testing.TB, name string) rule.Template {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "templates", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := engine.ParseTemplate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// object decodes YAML as most callers do: numbers are float64.
func object(t testing.TB, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func review(t testing.TB, namespace, text string) rule.Review {
	t.Helper()
	o := object(t, text)
	gv, _ := o["apiVersion"].(string)
	kind, _ := o["kind"].(string)
	meta, _ := o["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	return rule.Review{Object: o, Kind: schema.FromAPIVersionAndKind(gv, kind), Name: name, Place: rule.Place{Cluster: "embedded", Namespace: namespace}}
}

const (
	privileged = `{apiVersion: v1, kind: Pod, metadata: {name: cart}, spec: {containers: [{name: web, image: a}, {name: cart, image: b, securityContext: {privileged: true}}]}}`
	plain      = `{apiVersion: v1, kind: Pod, metadata: {name: cart}, spec: {containers: [{name: web, image: a}]}}`
)

func workload(group, kind, name string) string {
	return fmt.Sprintf(`{apiVersion: %s, kind: %s, metadata: {name: %s}, spec: {template: {metadata: {labels: {app: cart}}, spec: {containers: [{name: cart, image: b, securityContext: {privileged: true}}]}}}}`, group, kind, name)
}

const cronJob = `{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly}, spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: cart, image: b, securityContext: {privileged: true}}]}}}}}}`

// base is a rule that holds everywhere for pods.
func base(t testing.TB, name string) rule.Rule {
	return rule.Rule{
		Assignment: "baseline", Reference: name, Definition: name, Title: name, Policy: "sha256:p", Scope: rule.Scope{Kind: rule.Platform}, Effect: rule.Deny, Enforced: true,
		Source: rule.Original, Match: rule.Match{Kinds: []rule.GroupKinds{{Groups: []string{""}, Kinds: []string{"Pod"}}}}, Template: template(t, name), Fix: "remove it",
	}
}

func with(r rule.Rule, change func(*rule.Rule)) rule.Rule {
	change(&r)
	return r
}

func compile(t testing.TB, rules []rule.Rule, exemptions ...rule.Exemption) *engine.Set {
	t.Helper()
	s, err := engine.Compile(t.Context(), rules, exemptions, []rule.Place{
		{Cluster: "embedded", Namespace: "shop", Project: "shop", Environment: "production"},
		{Cluster: "embedded", Namespace: "shop-dev", Project: "shop", Environment: "dev"},
		{Cluster: "embedded", Namespace: "blog", Project: "blog", Environment: "production"},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func judge(t testing.TB, s *engine.Set, r rule.Review) []rule.Verdict {
	t.Helper()
	v, err := s.Review(t.Context(), r, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// outcome is the outcome of the only verdict, "none" when no rule matched.
func outcome(t testing.TB, v []rule.Verdict) string {
	t.Helper()
	switch len(v) {
	case 0:
		return "none"
	case 1:
		return v[0].Outcome
	}
	t.Fatalf("%d verdicts: %+v", len(v), v)
	return ""
}

func TestReviewByBothEngines(t *testing.T) {
	for _, name := range []string{"nopriv-cel", "nopriv-rego"} {
		s := compile(t, []rule.Rule{base(t, name)})
		bad := judge(t, s, review(t, "shop", privileged))
		want := []rule.Verdict{{
			Assignment: "baseline", Reference: name, Definition: name, Title: name, Policy: "sha256:p", Outcome: rule.Denied, Refuses: true, Fix: "remove it",
			Violations: []rule.Violation{{Path: "spec.containers[name=cart].securityContext.privileged", Message: "must not be true"}},
		}}
		if diff := cmp.Diff(want, bad); diff != "" {
			t.Errorf("%s, violating (-want +got):\n%s", name, diff)
		}
		if got := outcome(t, judge(t, s, review(t, "shop", plain))); got != rule.Compliant {
			t.Errorf("%s, good: %s", name, got)
		}
		other := review(t, "shop", `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`)
		if got := outcome(t, judge(t, s, other)); got != "none" {
			t.Errorf("%s, another kind: %s", name, got)
		}
	}
}

func TestMatching(t *testing.T) {
	labelled := strings.Replace(privileged, "{name: cart}", "{name: cart, labels: {tier: front}}", 1)
	tests := []struct {
		name   string
		change func(*rule.Rule)
		review rule.Review
		want   string
	}{
		{"platform", func(*rule.Rule) {}, review(t, "elsewhere", privileged), rule.Denied},
		{"project", func(r *rule.Rule) { r.Scope = rule.Scope{Kind: rule.Project, Name: "shop"} }, review(t, "shop-dev", privileged), rule.Denied},
		{"another project", func(r *rule.Rule) { r.Scope = rule.Scope{Kind: rule.Project, Name: "shop"} }, review(t, "blog", privileged), "none"},
		{"environment", func(r *rule.Rule) { r.Scope = rule.Scope{Kind: rule.Environment, Name: "shop/production"} }, review(t, "shop", privileged), rule.Denied},
		{"another environment", func(r *rule.Rule) { r.Scope = rule.Scope{Kind: rule.Environment, Name: "shop/production"} }, review(t, "shop-dev", privileged), "none"},
		{"cluster", func(r *rule.Rule) { r.Scope = rule.Scope{Kind: rule.Cluster, Name: "embedded"} }, review(t, "x", privileged), rule.Denied},
		{"another cluster", func(r *rule.Rule) { r.Scope = rule.Scope{Kind: rule.Cluster, Name: "adopted"} }, review(t, "x", privileged), "none"},
		{"taken out", func(r *rule.Rule) { r.NotScopes = []rule.Scope{{Kind: rule.Project, Name: "shop"}} }, review(t, "shop", privileged), "none"},
		{"excluded namespace", func(r *rule.Rule) { r.Match.ExcludedNamespaces = []string{"shop-*"} }, review(t, "shop-dev", privileged), "none"},
		{"not excluded", func(r *rule.Rule) { r.Match.ExcludedNamespaces = []string{"shop-*"} }, review(t, "shop", privileged), rule.Denied},
		{"named namespace", func(r *rule.Rule) { r.Match.Namespaces = []string{"shop"} }, review(t, "blog", privileged), "none"},
		{"label selected", func(r *rule.Rule) {
			r.Match.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "front"}}
		}, review(t, "shop", labelled), rule.Denied},
		{"label not selected", func(r *rule.Rule) {
			r.Match.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "front"}}
		}, review(t, "shop", privileged), "none"},
		{"audit", func(r *rule.Rule) { r.Effect = rule.Audit }, review(t, "shop", privileged), rule.Audited},
		{"not enforced", func(r *rule.Rule) { r.Enforced = false }, review(t, "shop", privileged), rule.Audited},
	}
	for _, tt := range tests {
		v := judge(t, compile(t, []rule.Rule{with(base(t, "nopriv-cel"), tt.change)}), tt.review)
		if got := outcome(t, v); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if len(v) == 1 && v[0].Refuses != (tt.want == rule.Denied) {
			t.Errorf("%s: Refuses = %v", tt.name, v[0].Refuses)
		}
	}
}

// A tenant may set labels on its namespace, and a caller may say what it likes about a
// place: neither moves a namespace out of a scope.
func TestPlaceIsNotTheCallersToChoose(t *testing.T) {
	s := compile(t, []rule.Rule{with(base(t, "nopriv-cel"), func(r *rule.Rule) { r.Scope = rule.Scope{Kind: rule.Project, Name: "shop"} })})
	r := review(t, "shop", privileged)
	r.Place.Project, r.Place.Environment = "blog", "dev"
	r.NamespaceLabels = map[string]string{"kubernetes.io/metadata.name": "blog", "policy": "off"}
	if got := outcome(t, judge(t, s, r)); got != rule.Denied {
		t.Errorf("a known namespace with another project's name: %s", got)
	}
	r = review(t, "shop-review-7", privileged)
	r.Place.Project, r.Place.Environment = "shop", "review-7"
	if got := outcome(t, judge(t, s, r)); got != rule.Denied {
		t.Errorf("a namespace that is not made yet: %s", got)
	}
}

func TestClusterWideObjectsBelongToNoProject(t *testing.T) {
	kinds := []rule.GroupKinds{{Groups: []string{""}, Kinds: []string{"Namespace"}}}
	ns := review(t, "shop", `{apiVersion: v1, kind: Namespace, metadata: {name: shop}}`)
	for scope, want := range map[rule.Scope]string{
		{Kind: rule.Platform}: rule.Compliant, {Kind: rule.Cluster, Name: "embedded"}: rule.Compliant,
		{Kind: rule.Project, Name: "shop"}: "none", {Kind: rule.Environment, Name: "shop/production"}: "none",
	} {
		s := compile(t, []rule.Rule{with(base(t, "nopriv-cel"), func(r *rule.Rule) { r.Match.Kinds, r.Scope = kinds, scope })})
		if got := outcome(t, judge(t, s, ns)); got != want {
			t.Errorf("%s: %s, want %s", scope, got, want)
		}
	}
}

func TestWorkloadsAreExpanded(t *testing.T) {
	objects := map[string]string{
		"Deployment": workload("apps/v1", "Deployment", "cart"), "StatefulSet": workload("apps/v1", "StatefulSet", "cart"),
		"DaemonSet": workload("apps/v1", "DaemonSet", "cart"), "ReplicaSet": workload("apps/v1", "ReplicaSet", "cart"),
		"Job": workload("batch/v1", "Job", "cart"), "ReplicationController": workload("v1", "ReplicationController", "cart"), "CronJob": cronJob,
	}
	for _, source := range []string{rule.Original, rule.Generated, rule.All} {
		for _, name := range []string{"nopriv-cel", "nopriv-rego"} {
			s := compile(t, []rule.Rule{with(base(t, name), func(r *rule.Rule) { r.Source = source })})
			for kind, text := range objects {
				v := judge(t, s, review(t, "shop", text))
				if source == rule.Original {
					if len(v) != 0 {
						t.Errorf("%s, source Original, %s: %+v", name, kind, v)
					}
					continue
				}
				path := "spec.template.spec.containers[name=cart].securityContext.privileged"
				if kind == "CronJob" {
					path = "spec.jobTemplate." + path
				}
				if len(v) != 1 || v[0].Outcome != rule.Denied || len(v[0].Violations) != 1 || v[0].Violations[0].Path != path {
					t.Errorf("%s, source %s, %s: %+v", name, source, kind, v)
				}
			}
			if got := outcome(t, judge(t, s, review(t, "shop", privileged))); (got == "none") != (source == rule.Generated) {
				t.Errorf("%s, source %s, a pod as it is: %s", name, source, got)
			}
			v, err := s.Review(t.Context(), review(t, "shop", privileged), engine.Options{Generated: true})
			if err != nil || (len(v) == 0) != (source == rule.Original) {
				t.Errorf("%s, source %s, a generated pod: %+v, %v", name, source, v, err)
			}
		}
	}
}

func TestOperations(t *testing.T) {
	ephemeral := `{apiVersion: v1, kind: Pod, metadata: {name: cart}, spec: {containers: [{name: web, image: a}], ephemeralContainers: [{name: debug, image: b, securityContext: {privileged: true}}]}}`
	for _, name := range []string{"nopriv-cel", "nopriv-rego"} {
		s := compile(t, []rule.Rule{base(t, name)})
		create := review(t, "shop", privileged)
		create.Operation = "CREATE"
		update := review(t, "shop", ephemeral)
		update.Operation, update.Sub, update.Resource, update.Old = "UPDATE", "ephemeralcontainers", "pods", object(t, plain)
		unchanged := review(t, "shop", privileged)
		unchanged.Operation, unchanged.Sub, unchanged.Old = "UPDATE", "resize", object(t, privileged)
		gone := review(t, "shop", privileged)
		gone.Operation, gone.Old, gone.Object = "DELETE", gone.Object, nil
		for _, tt := range []struct {
			name string
			r    rule.Review
			want string
		}{
			{"CREATE", create, rule.Denied}, {"UPDATE of ephemeralcontainers", update, rule.Denied},
			{"UPDATE of resize that changes nothing", unchanged, rule.Denied}, {"DELETE", gone, "none"},
		} {
			if got := outcome(t, judge(t, s, tt.r)); got != tt.want {
				t.Errorf("%s, %s: %s, want %s", name, tt.name, got, tt.want)
			}
		}
	}
	s := compile(t, []rule.Rule{base(t, "nodelete")})
	gone := review(t, "shop", plain)
	gone.Operation, gone.Old, gone.Object = "DELETE", gone.Object, nil
	if got := outcome(t, judge(t, s, gone)); got != rule.Denied {
		t.Errorf("a rule that asks for DELETE: %s", got)
	}
	for name, r := range map[string]rule.Review{
		"no object": {Operation: "CREATE"}, "nothing that goes": {Operation: "DELETE"}, "an operation that is none": {Operation: "PATCH", Object: object(t, plain)}, "no kind": {Object: map[string]any{}},
	} {
		if v, err := s.Review(t.Context(), r, engine.Options{}); err == nil {
			t.Errorf("%s: judged: %+v", name, v)
		}
	}
}

func TestRuleThatCannotJudgeRefuses(t *testing.T) {
	for _, name := range []string{"broken-cel", "broken-rego"} {
		for effect, refuses := range map[string]bool{rule.Deny: true, rule.Audit: false} {
			s := compile(t, []rule.Rule{with(base(t, name), func(r *rule.Rule) { r.Effect = effect })})
			v := judge(t, s, review(t, "shop", plain))
			if len(v) != 1 || v[0].Outcome != rule.Error || v[0].Refuses != refuses || v[0].Why == "" {
				t.Errorf("%s, %s: %+v", name, effect, v)
			}
		}
	}
}

func TestCompileNamesWhatIsWrong(t *testing.T) {
	tests := map[string]struct {
		rule rule.Rule
		want []string
	}{
		"CEL that does not compile":  {base(t, "bad-cel"), []string{"baseline", "bad-cel", "does not compile", "undeclared reference"}},
		"Rego that does not compile": {base(t, "bad-rego"), []string{"baseline", "bad-rego", "does not compile"}},
		"Rego that reaches out":      {base(t, "http-rego"), []string{"baseline", "http-rego", "http.send"}},
		"parameter of a wrong type":  {with(base(t, "params"), func(r *rule.Rule) { r.Parameters = map[string]any{"names": "web"} }), []string{"baseline", "params", "names"}},
		"every kind":                 {with(base(t, "nopriv-cel"), func(r *rule.Rule) { r.Match.Kinds[0].Kinds = []string{"*"} }), []string{"every kind must be named"}},
		"no kind":                    {with(base(t, "nopriv-cel"), func(r *rule.Rule) { r.Match.Kinds = nil }), []string{"names no kinds"}},
		"bad selector": {with(base(t, "nopriv-cel"), func(r *rule.Rule) {
			r.Match.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a b": "c"}}
		}), []string{"label selector"}},
	}
	for name, tt := range tests {
		_, err := engine.Compile(t.Context(), []rule.Rule{tt.rule}, nil, nil, now)
		for _, w := range tt.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: error %v does not say %q", name, err, w)
			}
		}
	}
	twin := with(base(t, "nopriv-cel"), func(r *rule.Rule) { r.Assignment, r.Template.Digest = "other", "sha256:other" })
	if _, err := engine.Compile(t.Context(), []rule.Rule{base(t, "nopriv-cel"), twin}, nil, nil, now); err == nil || !strings.Contains(err.Error(), "same kind") {
		t.Errorf("two templates of one kind: %v", err)
	}
}

func TestParametersHaveDefaultsAndTypes(t *testing.T) {
	s := compile(t, []rule.Rule{
		with(base(t, "params"), func(r *rule.Rule) { r.Parameters = map[string]any{"names": []any{"web"}, "most": 2.0} }),
		with(base(t, "params"), func(r *rule.Rule) { r.Reference = "defaults" }),
	})
	v := judge(t, s, review(t, "shop", plain))
	if len(v) != 2 || v[0].Outcome != rule.Denied || v[1].Outcome != rule.Compliant {
		t.Errorf("%+v", v)
	}
}

func TestImages(t *testing.T) {
	s := compile(t, []rule.Rule{base(t, "images")})
	r := review(t, "shop", `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: web, image: "h/shop/web@sha256:abc"}]}}`)
	if got := outcome(t, judge(t, s, r)); got != rule.Denied {
		t.Errorf("an image that nobody knows: %s", got)
	}
	for _, signed := range []bool{true, false} {
		if err := s.PutImage(t.Context(), rule.Image{Digest: "sha256:abc", Signed: signed}); err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{true: rule.Compliant, false: rule.Denied}[signed]
		if got := outcome(t, judge(t, s, r)); got != want {
			t.Errorf("signed %v: %s", signed, got)
		}
	}
	if err := s.PutImage(t.Context(), rule.Image{}); err == nil {
		t.Error("an image without a digest was taken")
	}
}

func TestReviewLeavesTheObjectAlone(t *testing.T) {
	s := compile(t, []rule.Rule{with(base(t, "nopriv-cel"), func(r *rule.Rule) { r.Source = rule.All }), with(base(t, "nopriv-rego"), func(r *rule.Rule) { r.Source = rule.All })})
	r := review(t, "shop", workload("apps/v1", "Deployment", "cart"))
	judge(t, s, r)
	if diff := cmp.Diff(object(t, workload("apps/v1", "Deployment", "cart")), r.Object); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
}

func TestDigest(t *testing.T) {
	r := base(t, "nopriv-cel")
	a, b := compile(t, []rule.Rule{r}), compile(t, []rule.Rule{r})
	if a.Digest() != b.Digest() || !strings.HasPrefix(a.Digest(), "sha256:") {
		t.Errorf("digests of the same: %s, %s", a.Digest(), b.Digest())
	}
	other := compile(t, []rule.Rule{with(r, func(r *rule.Rule) { r.Effect = rule.Audit })})
	exempt := compile(t, []rule.Rule{r}, rule.Exemption{Name: "x", Assignment: "baseline"})
	if other.Digest() == a.Digest() || exempt.Digest() == a.Digest() || exempt.Digest() == other.Digest() {
		t.Error("different sets have the same digest")
	}
}

func TestClosedSetJudgesNothing(t *testing.T) {
	s := engine.Closed(fmt.Errorf("not loaded"))
	if _, err := s.Review(t.Context(), review(t, "shop", plain), engine.Options{}); err == nil {
		t.Error("a closed set judged")
	}
	if err := s.PutImage(t.Context(), rule.Image{Digest: "sha256:a"}); err != nil {
		t.Error(err)
	}
	next, err := s.Next(t.Context(), []rule.Rule{base(t, "nopriv-cel")}, nil, nil, now)
	if err != nil || outcome(t, judge(t, next, review(t, "shop", privileged))) != rule.Denied {
		t.Errorf("the next set does not judge: %v", err)
	}
}

func TestReach(t *testing.T) {
	places := []rule.Place{
		{Cluster: "embedded", Namespace: "b", Project: "shop", Environment: "production"}, {Cluster: "embedded", Namespace: "a", Project: "shop", Environment: "dev"},
		{Cluster: "embedded", Namespace: "c", Project: "blog", Environment: "dev"}, {Cluster: "adopted", Namespace: "d", Project: "shop", Environment: "far"},
	}
	shop := rule.Scope{Kind: rule.Project, Name: "shop"}
	tests := map[string]struct {
		rule rule.Rule
		want engine.Reach
	}{
		"platform":         {rule.Rule{Scope: rule.Scope{Kind: rule.Platform}}, engine.Reach{All: true}},
		"platform without": {rule.Rule{Scope: rule.Scope{Kind: rule.Platform}, NotScopes: []rule.Scope{shop}}, engine.Reach{All: true, Excluded: []string{"a", "b"}}},
		"project":          {rule.Rule{Scope: shop}, engine.Reach{Namespaces: []string{"a", "b"}}},
		"project without":  {rule.Rule{Scope: shop, NotScopes: []rule.Scope{{Kind: rule.Environment, Name: "shop/dev"}}}, engine.Reach{Namespaces: []string{"b"}}},
		"another cluster":  {rule.Rule{Scope: rule.Scope{Kind: rule.Cluster, Name: "adopted"}}, engine.Reach{}},
	}
	for name, tt := range tests {
		if diff := cmp.Diff(tt.want, engine.ReachOf(tt.rule, "embedded", places)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
