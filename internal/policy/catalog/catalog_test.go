package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/catalog"
	"towpath.dev/towpath/internal/policy/catalog/catalogtest"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// Definitions, initiatives and templates fit together, and say what a person needs.
func TestCatalogue(t *testing.T) {
	c, err := catalog.Open()
	if err != nil {
		t.Fatal(err)
	}
	used, names := map[string]bool{}, map[string]bool{}
	for _, f := range c.Definitions() {
		d, err := azure.ParseDefinition(f.Raw)
		if err != nil {
			t.Errorf("definition %s: %v", f.Name, err)
			continue
		}
		used[d.Details.Template.Key], names[d.Name] = true, true
		if _, ok := c.Template(d.Details.Template.Key); !ok || d.Details.Template.URL != catalog.Origin+d.Details.Template.Key+"/template.yaml" {
			t.Errorf("definition %s has the template %q, which is not there", f.Name, d.Details.Template.URL)
		}
		if d.Name != f.Name || d.Fix == "" || d.Description == "" || d.Category == "" || d.Version != "1.0.0" {
			t.Errorf("definition %s lacks a name, fix, description, category or version: %+v", f.Name, d)
		}
	}
	for _, key := range c.Keys() {
		if !used[key] {
			t.Errorf("template %s is used by no definition", key)
		}
		if tpl, _ := c.Template(key); !tpl.Workloads {
			t.Errorf("template %s does not look into workloads", key)
		}
	}
	var found []string
	for _, f := range c.Initiatives() {
		i, err := azure.ParseInitiative(f.Raw)
		if err != nil {
			t.Errorf("initiative %s: %v", f.Name, err)
			continue
		}
		found = append(found, i.Name)
		for _, m := range i.Members {
			if !names[m.Definition] {
				t.Errorf("initiative %s names the definition %q, which is not there", f.Name, m.Definition)
			}
		}
	}
	if diff := cmp.Diff([]string{"baseline", "restricted", "supply-chain"}, found); diff != "" {
		t.Error(diff)
	}
}

// The variables that find the pod are the same text wherever they are.
func TestSharedVariables(t *testing.T) {
	c, err := catalog.Open()
	if err != nil {
		t.Fatal(err)
	}
	own := []string{"offenders", "annotations", "registries"}
	text, shared := map[string]string{}, map[string]int{}
	for _, key := range c.Keys() {
		tpl, _ := c.Template(key)
		if tpl.Native == nil {
			continue
		}
		for _, v := range tpl.Native.Variables {
			if slices.Contains(own, v.Name) {
				continue
			}
			if had, ok := text[v.Name]; ok && had != v.Expression {
				t.Errorf("variable %s of %s is another text than elsewhere", v.Name, key)
			}
			text[v.Name] = v.Expression
			shared[v.Name]++
		}
	}
	if shared["podSpec"] < 15 || shared["containers"] < 10 {
		t.Errorf("the templates do not share variables: %v", shared)
	}
}

const (
	known    = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	unsigned = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	unseen   = "sha256:3333333333333333333333333333333333333333333333333333333333333333"
	broken   = "sha256:4444444444444444444444444444444444444444444444444444444444444444"
	unknown  = "sha256:5555555555555555555555555555555555555555555555555555555555555555"
)

func verdictSet(t *testing.T) *engine.Set {
	t.Helper()
	rules := catalogtest.Assign(t, "images", "container-image-verdict", "platform", map[string]any{"registries": []any{"localhost:7080", "plain"}})
	set, err := engine.Compile(context.Background(), rules, nil, nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []rule.Image{
		{Digest: known, Repositories: []string{"shop/web", "shop/copy"}, Signed: true, Scanned: true, Fixable: []string{}},
		{Digest: unsigned, Repositories: []string{"shop/web"}, Scanned: true, Fixable: []string{}},
		{Digest: unseen, Repositories: []string{"shop/web"}, Signed: true},
		{Digest: broken, Repositories: []string{"shop/web"}, Signed: true, Scanned: true, Fixable: []string{"GO-1 in a, fixed in 2", "GO-2 in b, fixed in 3", "GO-3 in c, fixed in 4", "GO-4 in d, fixed in 5"}},
	} {
		if err := set.PutImage(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	return set
}

// An image is allowed when everything that is known of it is good, in the repository that
// its name says, and nowhere else.
func TestImageVerdicts(t *testing.T) {
	set := verdictSet(t)
	for image, want := range map[string]string{
		"localhost:7080/shop/web@" + known:              "",
		"localhost:7080/shop/web:1.0@" + known:          "",
		"localhost:7080/shop/copy@" + known:             "",
		"localhost:7080/shop/other@" + known:            known + " is not known in shop/other: push or import it through the registry first",
		"localhost:7080/web@" + known:                   known + " is not known in web: push or import it through the registry first",
		"localhost:7080/shop/web@" + unknown:            unknown + " is not known in shop/web: push or import it through the registry first",
		"localhost:7080/shop/web@" + unsigned:           unsigned + " must be signed by a pipeline, it is not",
		"localhost:7080/shop/web@" + unseen:             unseen + " must be scanned, it is not yet",
		"localhost:7080/shop/web@" + broken:             broken + " must have no critical finding with a fix, it has 4: GO-1 in a, fixed in 2, GO-2 in b, fixed in 3, GO-3 in c, fixed in 4",
		"localhost:7080/shop/web:1.0":                   `must be named by digest in localhost:7080 or plain, it is "localhost:7080/shop/web:1.0"`,
		"localhost:7080.evil.example/shop/web@" + known: `must be named by digest in localhost:7080 or plain, it is "localhost:7080.evil.example/shop/web@` + known + `"`,
		"plain/shop/web@" + known:                       `must be named by digest in localhost:7080 or plain, it is "plain/shop/web@` + known + `"`,
		"shop/web@" + known:                             `must be named by digest in localhost:7080 or plain, it is "shop/web@` + known + `"`,
		"":                                              `must be named by digest in localhost:7080 or plain, it is ""`,
	} {
		for where, object := range named(image) {
			verdicts, err := set.Review(t.Context(), rule.Review{Object: object, Operation: "CREATE", Place: rule.Place{Cluster: "embedded", Namespace: "shop"}}, engine.Options{})
			if err != nil || len(verdicts) != 1 {
				t.Fatalf("%s: %v %+v", where, err, verdicts)
			}
			v := verdicts[0]
			if want == "" {
				if v.Outcome != rule.Compliant {
					t.Errorf("%q at %s must be allowed: %+v", image, where, v)
				}
				continue
			}
			if diff := cmp.Diff([]rule.Violation{{Path: where, Message: want}}, v.Violations); v.Outcome != rule.Denied || diff != "" {
				t.Errorf("%q at %s is %s %s:\n%s", image, where, v.Outcome, v.Why, diff)
			}
		}
	}
}

// named returns objects that name an image, by the path where they do.
func named(image string) map[string]map[string]any {
	const good = "localhost:7080/shop/web@" + known
	object := func(text string) map[string]any {
		var out map[string]any
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			return nil
		}
		return out
	}
	q, _ := json.Marshal(image)
	fine := fmt.Sprintf(`"containers":[{"name":"c","image":%q}]`, good)
	pod := func(spec string) map[string]any {
		return object(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{` + spec + `}}`)
	}
	bad := strings.Replace(fine, `"`+good+`"`, string(q), 1)
	return map[string]map[string]any{
		"spec.containers[name=c].image":          pod(bad),
		"spec.initContainers[name=i].image":      pod(fmt.Sprintf(`%s,"initContainers":[{"name":"i","image":%s}]`, fine, q)),
		"spec.ephemeralContainers[name=e].image": pod(fmt.Sprintf(`%s,"ephemeralContainers":[{"name":"e","image":%s}]`, fine, q)),
		"spec.volumes[name=v].image.reference":   pod(fmt.Sprintf(`%s,"volumes":[{"name":"w","emptyDir":{}},{"name":"v","image":{"reference":%s}}]`, fine, q)),
		"spec.template.spec.containers[name=c].image": object(
			`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"template":{"spec":{` + bad + `}}}}`),
		"spec.jobTemplate.spec.template.spec.containers[name=c].image": object(
			`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"d"},"spec":{"jobTemplate":{"spec":{"template":{"spec":{` + bad + `}}}}}}`),
	}
}

// What becomes known later counts at once.
func TestImageVerdictsChange(t *testing.T) {
	set := verdictSet(t)
	ask := func() string {
		t.Helper()
		for path, o := range named("localhost:7080/shop/web@" + unsigned) {
			if path != "spec.containers[name=c].image" {
				continue
			}
			v, err := set.Review(t.Context(), rule.Review{Object: o, Place: rule.Place{Cluster: "embedded", Namespace: "shop"}}, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return v[0].Outcome
		}
		return ""
	}
	if got := ask(); got != rule.Denied {
		t.Fatalf("an unsigned image is %s", got)
	}
	if err := set.PutImage(t.Context(), rule.Image{Digest: unsigned, Repositories: []string{"shop/web"}, Signed: true, Scanned: true}); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != rule.Compliant {
		t.Fatalf("an image that was signed since is %s", got)
	}
}

// The checks that are in no initiative, by what they say.
func TestGoodPractice(t *testing.T) {
	rules := slices.Concat(
		catalogtest.Assign(t, "latest", "container-no-latest-image", "platform", nil),
		catalogtest.Assign(t, "labels", "pod-enforce-labels", "platform", map[string]any{"labels": []any{"team", "app"}}),
		catalogtest.Assign(t, "default", "block-default-namespace", "platform", nil),
		catalogtest.Assign(t, "limits", "container-resource-limits", "platform", map[string]any{"memory": "512Mi"}),
	)
	set, err := engine.Compile(context.Background(), rules, nil, nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	const c = "spec.containers[name=c]"
	for _, x := range []struct {
		namespace, labels, image, limits string
		want                             []string
	}{
		{"shop", `"app":"a","team":"b"`, "r.example/a:1", `"cpu":"500m","memory":"256Mi"`, nil},
		{"shop", `"app":"a","team":"b"`, "r.example/a@" + known, `"cpu":2,"memory":536870912`, nil},
		{"default", `"app":"a","team":"b"`, "r.example:5000/a", `"cpu":"2001m","memory":"1Gi"`, []string{
			c + ".image: must have a digest or a tag other than latest, it is \"r.example:5000/a\"",
			"metadata.namespace: must be a namespace of its own, it is default",
			c + ".resources.limits.cpu: must be at most 2, it is 2001m",
			c + ".resources.limits.memory: must be at most 512Mi, it is 1Gi",
		}},
		{"shop", `"team":""`, "a:latest", `"memory":"lots"`, []string{
			c + ".image: must have a digest or a tag other than latest, it is \"a:latest\"",
			"metadata.labels[app]: must be there and not empty, it is absent",
			"metadata.labels[team]: must be there and not empty, it is empty",
			c + ".resources.limits.cpu: must be at most 2, it is absent",
			c + ".resources.limits.memory: must be at most 512Mi, it is lots",
		}},
	} {
		var object map[string]any
		text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{%s}},"spec":{"containers":[{"name":"c","image":%q,"resources":{"limits":{%s}}}],"ephemeralContainers":[{"name":"e","image":"a:1"}]}}`, x.labels, x.image, x.limits)
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			t.Fatal(err)
		}
		verdicts, err := set.Review(t.Context(), rule.Review{Object: object, Operation: "CREATE", Place: rule.Place{Cluster: "embedded", Namespace: x.namespace}}, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range verdicts {
			if v.Why != "" {
				t.Errorf("%s could not judge: %s", v.Assignment, v.Why)
			}
			for _, f := range v.Violations {
				got = append(got, f.Path+": "+f.Message)
			}
		}
		if diff := cmp.Diff(x.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}
