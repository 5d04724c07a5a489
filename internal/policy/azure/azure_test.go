package azure_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

var update = flag.Bool("update", false, "write the expected files of the fixtures anew")

// catalogue is a catalogue with one template.
type catalogue map[string]rule.Template

func (c catalogue) Template(key string) (rule.Template, bool) {
	t, ok := c[key]
	return t, ok
}

const program = `{"apiVersion":"templates.gatekeeper.sh/v1","kind":"ConstraintTemplate","metadata":{"name":"noprivilege"},"spec":{"crd":{"spec":{"names":{"kind":"NoPrivilege"},
"validation":{"openAPIV3Schema":{"type":"object","properties":{"excludedContainers":{"type":"array","items":{"type":"string"}}}}}}},
"targets":[{"target":"admission.k8s.gatekeeper.sh","code":[{"engine":"K8sNativeValidation","source":{"validations":[{"expression":"true"}]}}]}]}}`

func known(t testing.TB) catalogue {
	t.Helper()
	out, err := engine.ParseTemplate([]byte(program))
	if err != nil {
		t.Fatal(err)
	}
	return catalogue{"container-no-privilege/v2": out}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// parsers by the folder of their fixtures.
var parsers = map[string]func([]byte) (any, error){
	azure.KindDefinition: func(raw []byte) (any, error) { return strip(azure.ParseDefinition(raw)) },
	azure.KindInitiative: func(raw []byte) (any, error) { return strip(azure.ParseInitiative(raw)) },
	azure.KindAssignment: func(raw []byte) (any, error) { return strip(azure.ParseAssignment(raw)) },
	azure.KindExemption:  func(raw []byte) (any, error) { return strip(azure.ParseExemption(raw)) },
}

func strip[T any](v T, err error) (any, error) { return v, err }

// Each NAME.json has NAME.want: what was read as JSON, or "error: " and the message.
func TestFixtures(t *testing.T) {
	for kind, parse := range parsers {
		files, err := filepath.Glob(filepath.Join("testdata", kind, "*.json"))
		if err != nil || len(files) < 2 {
			t.Fatalf("%d fixtures of kind %s, %v", len(files), kind, err)
		}
		for _, f := range files {
			raw := read(t, f)
			got := ""
			if v, err := parse(raw); err != nil {
				got = "error: " + err.Error() + "\n"
			} else if text, err := json.MarshalIndent(v, "", "  "); err != nil {
				t.Fatal(err)
			} else {
				got = string(text) + "\n"
				if k, err := azure.KindOf(raw); k != kind || err != nil {
					t.Errorf("KindOf(%s) = %q, %v", f, k, err)
				}
			}
			want := strings.TrimSuffix(f, ".json") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(read(t, want)), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", f, diff)
			}
		}
	}
}

func library(t testing.TB) azure.Library {
	t.Helper()
	l := azure.Library{Definitions: map[string]azure.Definition{}, Initiatives: map[string]azure.Initiative{}, Catalogue: known(t)}
	for _, f := range []string{"privilege", "base64", "flat", "constraint"} {
		d, err := azure.ParseDefinition(read(t, filepath.Join("testdata/definition", f+".json")))
		if err != nil {
			t.Fatal(err)
		}
		l.Definitions[d.Name] = d
	}
	i, err := azure.ParseInitiative(read(t, "testdata/initiative/pods.json"))
	if err != nil {
		t.Fatal(err)
	}
	l.Initiatives[i.Name] = i
	return l
}

func assign(t testing.TB, text string) azure.Assignment {
	t.Helper()
	a, err := azure.ParseAssignment([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestResolve(t *testing.T) {
	l := library(t)
	full, err := l.Resolve(assign(t, string(read(t, "testdata/assignment/full.json"))))
	if err != nil {
		t.Fatal(err)
	}
	var got []rule.Rule
	for _, r := range full {
		if !strings.HasPrefix(r.Policy, "sha256:") || r.Template.Kind == "" {
			t.Errorf("%s: policy %q, template %q", r.Reference, r.Policy, r.Template.Kind)
		}
		r.Policy, r.Template = "", rule.Template{}
		got = append(got, r)
	}
	text, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const want = "testdata/resolved.want"
	if *update {
		if err := os.WriteFile(want, append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, want)), string(text)+"\n"); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := engine.Compile(t.Context(), full, nil, nil, nil); err != nil {
		t.Errorf("what was resolved does not compile: %v", err)
	}
	again, err := l.Resolve(assign(t, string(read(t, "testdata/assignment/full.json"))))
	if err != nil || again[0].Policy != full[0].Policy {
		t.Errorf("the digest of the same is %q and %q, %v", full[0].Policy, again[0].Policy, err)
	}
}

func TestResolveNamesWhatIsWrong(t *testing.T) {
	l := library(t)
	tests := map[string]struct{ assignment, want string }{
		"missing definition":      {`{"name":"a","policyDefinitionId":"nothing","scope":"platform"}`, `There is no definition or initiative "nothing"`},
		"missing initiative":      {`{"name":"a","policyDefinitionId":"/providers/Microsoft.Authorization/policySetDefinitions/privilege","scope":"platform"}`, `There is no initiative "privilege"`},
		"unknown parameter":       {`{"name":"a","policyDefinitionId":"privilege","scope":"platform","parameters":{"x":{"value":1}}}`, "rule privilege: parameters.x: there is no such parameter; these are: effect"},
		"parameter of wrong type": {`{"name":"a","policyDefinitionId":"privilege","scope":"platform","parameters":{"namespaces":{"value":"shop"}}}`, "parameters.namespaces: a value of type Array is expected, this is a text"},
		"value that is not allowed": {`{"name":"a","policyDefinitionId":"privilege","scope":"platform","parameters":{"effect":{"value":"Mutate"}}}`,
			`parameters.effect: "Mutate" is not among the allowed values`},
		"initiative's parameter": {`{"name":"a","policyDefinitionId":"pods","scope":"platform","parameters":{"y":{"value":1}}}`, "parameters.y: there is no such parameter"},
		"another version":        {`{"name":"a","policyDefinitionId":"privilege","definitionVersion":"8.*.*","scope":"platform"}`, `definitionVersion: "8.*.*" does not select the version "9.2.0" of definition privilege`},
		"message for no rule":    {`{"name":"a","policyDefinitionId":"pods","scope":"platform","nonComplianceMessages":[{"message":"m","policyDefinitionReferenceId":"z"}]}`, `nonComplianceMessages[0].policyDefinitionReferenceId: there is no rule "z" in pods`},
		"override for no rule": {`{"name":"a","policyDefinitionId":"pods","scope":"platform","overrides":[{"kind":"policyEffect","value":"Audit","selectors":[{"kind":"policyDefinitionReferenceId","in":["z"]}]}]}`,
			`overrides[0].selectors: there is no rule "z" in pods`},
	}
	for name, tt := range tests {
		_, err := l.Resolve(assign(t, tt.assignment))
		message, _ := fault.Public(err)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(message, tt.want) || !strings.HasPrefix(message, "Assignment a") {
			t.Errorf("%s: %v does not say %q", name, err, tt.want)
		}
	}
	l.Catalogue = catalogue{}
	_, err := l.Resolve(assign(t, `{"name":"a","policyDefinitionId":"privilege","scope":"platform"}`))
	if err == nil || !strings.Contains(err.Error(), `"container-no-privilege/v2"`) || !strings.Contains(err.Error(), "Base64Encoded") {
		t.Errorf("a missing template: %v", err)
	}
}

func TestEffects(t *testing.T) {
	l := library(t)
	tests := map[string]struct{ more, want string }{
		"default":                {``, rule.Deny},
		"lower case":             {`,"parameters":{"effect":{"value":"audit"}}`, rule.Audit},
		"disabled":               {`,"parameters":{"effect":{"value":"Disabled"}}`, ""},
		"override":               {`,"overrides":[{"kind":"policyEffect","value":"audit"}]`, rule.Audit},
		"the last override":      {`,"overrides":[{"kind":"policyEffect","value":"audit"},{"kind":"policyEffect","value":"disabled"}]`, ""},
		"override of another":    {`,"overrides":[{"kind":"policyEffect","value":"audit","selectors":[{"kind":"policyDefinitionReferenceId","notIn":["privilege"]}]}]`, rule.Deny},
		"override of a disabled": {`,"parameters":{"effect":{"value":"Disabled"}},"overrides":[{"kind":"policyEffect","value":"Deny","selectors":[{"kind":"policyDefinitionReferenceId","in":["privilege"]}]}]`, rule.Deny},
	}
	for name, tt := range tests {
		rules, err := l.Resolve(assign(t, `{"name":"a","policyDefinitionId":"privilege","scope":"platform"`+tt.more+`}`))
		got := ""
		if len(rules) == 1 {
			got = rules[0].Effect
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tt.want)
		}
	}
}

func TestScopes(t *testing.T) {
	for text, want := range map[string]rule.Scope{
		"platform": {Kind: rule.Platform}, "project:shop": {Kind: rule.Project, Name: "shop"}, "cluster:embedded": {Kind: rule.Cluster, Name: "embedded"},
		"environment:shop/production": {Kind: rule.Environment, Name: "shop/production"},
	} {
		if got, err := azure.ParseScope(text); got != want || err != nil || got.String() != text {
			t.Errorf("ParseScope(%q) = %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "platform:x", "project", "project:", "project:a/b", "environment:shop", "environment:shop/", "environment:a/b/c", "/subscriptions/1", "Platform", "project:../x"} {
		if got, err := azure.ParseScope(text); err == nil {
			t.Errorf("ParseScope(%q) = %+v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for kind := range parsers {
		files, err := filepath.Glob(filepath.Join("testdata", kind, "*.json"))
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			f.Add(read(f, name))
		}
	}
	l := library(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for kind, parse := range parsers {
			if _, err := parse(raw); err != nil && fault.KindOf(err) == fault.Internal {
				t.Errorf("%s: an error without words for people: %v", kind, err)
			}
		}
		d, err := azure.ParseDefinition(raw)
		if err != nil {
			return
		}
		l.Definitions["fuzzed"] = d
		rules, err := l.Resolve(azure.Assignment{Name: "a", Target: "fuzzed", Scope: rule.Scope{Kind: rule.Platform}, Enforcement: azure.EnforceDefault})
		if err != nil {
			return
		}
		for _, r := range rules {
			if r.Effect != rule.Deny && r.Effect != rule.Audit {
				t.Errorf("a rule with the effect %q", r.Effect)
			}
			for _, k := range r.Match.Kinds {
				if len(k.Kinds) == 0 || len(k.Groups) == 0 {
					t.Errorf("a rule that matches everything: %+v", r.Match)
				}
			}
		}
	})
}
