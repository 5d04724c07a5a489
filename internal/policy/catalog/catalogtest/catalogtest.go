// Package catalogtest gives tests the catalogue's initiatives as rules, and the fixtures of
// the Pod Security Standards to judge with them.
package catalogtest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/catalog"
	"towpath.dev/towpath/internal/policy/rule"
)

// Assign resolves a definition or an initiative of the catalogue as an assignment of that
// name in a scope, "platform" or "project:shop".
func Assign(t testing.TB, name, target, scope string, parameters map[string]any) []rule.Rule {
	t.Helper()
	c, err := catalog.Open()
	if err != nil {
		t.Fatal(err)
	}
	l := azure.Library{Definitions: map[string]azure.Definition{}, Initiatives: map[string]azure.Initiative{}, Catalogue: c}
	for _, f := range c.Definitions() {
		if l.Definitions[f.Name], err = azure.ParseDefinition(f.Raw); err != nil {
			t.Fatalf("definition %s: %v", f.Name, err)
		}
	}
	for _, f := range c.Initiatives() {
		if l.Initiatives[f.Name], err = azure.ParseInitiative(f.Raw); err != nil {
			t.Fatalf("initiative %s: %v", f.Name, err)
		}
	}
	s, err := azure.ParseScope(scope)
	if err != nil {
		t.Fatal(err)
	}
	_, initiative := l.Initiatives[target]
	kind := azure.KindDefinition
	if initiative {
		kind = azure.KindInitiative
	}
	rules, err := l.Resolve(azure.Assignment{Name: name, Target: target, Kind: kind, Scope: s, Enforcement: azure.EnforceDefault, Parameters: parameters})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// Fixture is a pod of the Pod Security Standards' own tests.
type Fixture struct {
	Name  string // "fail/privileged0.yaml"
	Allow bool   // the level allows it
	Pod   *corev1.Pod
}

// Fixtures reads the pods of a level, "baseline" or "restricted", at the newest version
// that k8s.io/pod-security-admission has them for.
func Fixtures(t testing.TB, level string) (version string, out []Fixture) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/pod-security-admission").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(strings.TrimSpace(string(dir)), "test", "testdata", level)
	versions, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	newest := 0
	for _, v := range versions {
		minor, err := strconv.Atoi(strings.TrimPrefix(v.Name(), "v1."))
		if err != nil {
			t.Fatal(err)
		}
		newest = max(newest, minor)
	}
	version = "v1." + strconv.Itoa(newest)
	for _, verdict := range []string{"pass", "fail"} {
		files, err := filepath.Glob(filepath.Join(root, version, verdict, "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no fixtures in %s/%s/%s: %v", root, version, verdict, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var pod corev1.Pod
			if err := yaml.UnmarshalStrict(text, &pod); err != nil {
				t.Fatal(err)
			}
			out = append(out, Fixture{Name: verdict + "/" + filepath.Base(f), Allow: verdict == "pass", Pod: &pod})
		}
	}
	return version, out
}

// Object is a typed object as decoded JSON.
func Object(t testing.TB, o any) map[string]any {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
