package render_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy/render"
)

// chart is a chart of files (name, content, …) in the folder c.
func chart(files ...string) render.Chart {
	c := render.Chart{Base: "c", Release: "r", Namespace: "n", Files: []render.File{{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: c\nversion: 1.0.0\n")}}}
	for i := 0; i < len(files); i += 2 {
		c.Files = append(c.Files, render.File{Name: files[i], Data: []byte(files[i+1])})
	}
	return c
}

// What does not render is a fault that says where.
func TestBroken(t *testing.T) {
	for _, c := range []struct {
		name  string
		chart render.Chart
		want  string
	}{
		{"syntax", chart("templates/a.yaml", "a: 1\n{{ if }}\n"), "c/templates/a.yaml:2: missing value for if"},
		{"an action that is not closed", chart("templates/a.yaml", "a: 1\nb: {{ .Values.x\n"), "c/templates/a.yaml:2: unclosed action"},
		{"unknown function", chart("templates/a.yaml", "\n\nb: {{ nothing 1 }}\n"), "c/templates/a.yaml:3: function \"nothing\" not defined"},
		{"fail", chart("templates/a.yaml", "a: 1\nb: {{ fail \"say why\" }}\n"), "c/templates/a.yaml:2: say why"},
		{"required", chart("templates/a.yaml", "b: {{ required \"set x\" .Values.x }}\n"), "c/templates/a.yaml:1: set x"},
		{"in a helper", chart("templates/_h.tpl", "{{ define \"h\" }}\n{{ .Values.a.b.c }}\n{{ end }}", "templates/a.yaml", "x: {{ include \"h\" . }}\n"), "c/templates/_h.tpl:2: nil pointer evaluating interface {}.b"},
		{"no such template", chart("templates/a.yaml", "x: {{ include \"h\" . }}\n"), "c/templates/a.yaml:1: "},
		{"yaml", chart("templates/a.yaml", "kind: Pod\napiVersion: v1\n---\nkind: Pod\napiVersion: v1\n  x: 1\n"), "c/templates/a.yaml:6: document 2 is no valid YAML: mapping values"},
		{"no kind", chart("templates/a.yaml", "{{ if true }}\na: 1\n{{ end }}\n"), "c/templates/a.yaml:2: document 1 has no apiVersion or kind"},
		{"a list", chart("templates/a.yaml", "- 1\n"), "c/templates/a.yaml:1: document 1 is no object"},
		{"values", func() render.Chart {
			c := chart()
			c.Values = []render.File{{Name: "v.yaml", Data: []byte("a: [")}}
			return c
		}(), "The values file v.yaml is no valid YAML"},
		{"set", func() render.Chart { c := chart(); c.Set = []string{"novalue"}; return c }(), "The value \"novalue\" cannot be read"},
		{"kubernetes version", func() render.Chart { c := chart(); c.KubeVersion = "new"; return c }(), "\"new\" is no version of Kubernetes"},
		{"too old a cluster", chart("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\nkubeVersion: '>=9.0.0'\n"), "demands Kubernetes >=9.0.0"},
		{"no chart", render.Chart{Base: "c", Files: []render.File{{Name: "values.yaml"}}}, "The chart c cannot be read: Chart.yaml file is missing"},
		{"library", chart("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\ntype: library\n"), "is a library"},
		{"dependency that is not there", chart("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\ndependencies: [{name: d, version: 1.0.0, repository: 'https://example.com'}]\n"), "depends on d, which is not in its folder charts"},
		{"schema", chart("values.schema.json", `{"type": "object", "required": ["x"]}`), "The values of the chart c are not valid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := render.Render(context.Background(), c.chart)
			message, _ := fault.Public(err)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(message, c.want) || strings.Contains(message, "towpath_") {
				t.Errorf("%s\nlacks %q", message, c.want)
			}
		})
	}
}

// Templates that would take all time or memory end with a fault, soon.
func TestBounds(t *testing.T) {
	for name, text := range map[string]string{
		"loops in loops":          "{{ range until 90000 }}{{ range until 90000 }}{{ end }}{{ end }}",
		"a loop over a number":    "{{ range 1000000000 }}{{ end }}",
		"a loop in tpl":           `{{ tpl "{{ range until 90000 }}{{ range until 90000 }}{{ end }}{{ end }}" . }}`,
		"inclusions that double":  `{{ define "a" }}{{ if gt . 0 }}{{ include "a" (sub . 1) }}{{ include "a" (sub . 1) }}{{ end }}{{ end }}{{ include "a" 60 }}`,
		"templates that double":   `{{ define "a" }}{{ if gt . 0 }}{{ template "a" (sub . 1) }}{{ template "a" (sub . 1) }}{{ end }}{{ end }}{{ template "a" 60 }}`,
		"text in a loop":          "{{ range until 90000 }}" + strings.Repeat("x", 4000) + "{{ end }}",
		"until":                   "{{ until 1000000000 | len }}",
		"untilStep":               "{{ untilStep 0 1000000000 1 | len }}",
		"seq":                     "{{ seq 1 1000000000 | len }}",
		"repeat":                  `{{ repeat 1000000000 "x" | len }}`,
		"indent":                  `{{ indent 1000000000 "x" | len }}`,
		"replace":                 `{{ $x := repeat 100000 "x" }}{{ replace "x" $x $x | len }}`,
		"printf":                  `{{ printf "%1000000000d" 1 | len }}`,
		"printf with a star":      `{{ printf "%*d" 1000000000 1 | len }}`,
		"strings that double":     "{{ $x := repeat 1000 \"x\" }}{{ range until 40 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}",
		"random":                  "{{ randAlphaNum 1000000000 | len }}",
		"a map in itself":         `{{ $d := dict }}{{ $_ := set $d "x" (list $d) }}{{ $d }}`,
		"a map merged in itself":  `{{ $d := dict }}{{ $_ := merge $d (dict "x" $d) }}{{ $d }}`,
		"the context in a value":  `{{ $_ := set .Values "x" . }}{{ toYamlPretty .Values }}`,
		"a definition of itself":  `{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}`,
		"more objects than there": "{{ range until 5001 }}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n{{ end }}",
		"deep":                    "apiVersion: v1\nkind: Pod\nx: " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := render.Render(context.Background(), chart("templates/a.yaml", text))
			message, _ := fault.Public(err)
			if !fault.Is(err, fault.TooLarge) && !fault.Is(err, fault.Invalid) || strings.Contains(message, "towpath_") {
				t.Errorf("%s after %s", message, time.Since(start))
			}
		})
	}
	small := chart("templates/a.yaml", "apiVersion: v1\nkind: Pod\n")
	small.Limits.Files = 1
	if _, err := render.Render(context.Background(), small); !fault.Is(err, fault.TooLarge) {
		t.Errorf("more files than allowed: %v", err)
	}
	small.Limits = render.Limits{Input: 10}
	if _, err := render.Render(context.Background(), small); !fault.Is(err, fault.TooLarge) {
		t.Errorf("more bytes than allowed: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := render.Render(ctx, chart("templates/a.yaml", "apiVersion: v1\nkind: Pod\n")); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a context that has ended: %v", err)
	}
}

// Nothing is reached from a template.
func TestClosed(t *testing.T) {
	t.Setenv("TOWPATH_SECRET", "s3cret")
	c := chart("templates/a.yaml", `apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data:
  lookup: {{ lookup "v1" "Secret" "" "" | toJson | quote }}
  host: {{ getHostByName "localhost" | quote }}
  file: {{ .Files.Get "../../../go.mod" | quote }}
`, "values.schema.json", `{"$ref": "file:///etc/passwd"}`)
	got, err := render.Render(context.Background(), c)
	if err != nil || len(got.Objects) != 1 {
		t.Fatal(err)
	}
	data, _ := got.Objects[0].Data["data"].(map[string]any)
	if data["lookup"] != "{}" || data["host"] != "" || data["file"] != "" {
		t.Errorf("%v", data)
	}
	if len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "refers to other documents") {
		t.Errorf("warnings %q", got.Warnings)
	}
	for _, text := range []string{`{{ env "TOWPATH_SECRET" }}`, `{{ expandenv "$TOWPATH_SECRET" }}`} {
		if _, err := render.Render(context.Background(), chart("templates/a.yaml", text)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The values that only a run knows may be none that the schema takes.
func TestStandIns(t *testing.T) {
	c := chart("templates/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {number: {{ .Values.n | quote }}, d: {{ .Values.a.imageDigest | quote }}}\n",
		"values.schema.json", `{"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"n": {"type": "integer"}}}`)
	c.Set = []string{"n=$(n),a.imageDigest=$(d)"}
	got, err := render.Render(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	data := got.Objects[0].Data["data"].(map[string]any)
	if data["number"] != render.StandIn || data["d"] != render.StandInDigest || len(got.Unknown) != 2 || len(got.Warnings) != 1 {
		t.Errorf("%v %v %q", data, got.Unknown, got.Warnings)
	}
	c.Reuse = map[string]any{"n": 3, "a": map[string]any{"imageDigest": "sha256:1"}}
	if got, err = render.Render(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	data = got.Objects[0].Data["data"].(map[string]any)
	if data["number"] != "3" || data["d"] != "sha256:1" || len(got.Unknown) != 0 || len(got.Warnings) != 0 {
		t.Errorf("%v %v %q", data, got.Unknown, got.Warnings)
	}
}

// Characters that marks are made of cost lines, and change no object.
func TestForeignMarks(t *testing.T) {
	c := chart("templates/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \"\ue000\ue801\"\ndata:\n  icon: {{ .Values.icon }}\n", "values.yaml", "icon: \"\ue001\ue802x\"\n")
	got, err := render.Render(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	o := got.Objects[0]
	if o.Name != "\ue000\ue801" || o.Data["data"].(map[string]any)["icon"] != "\ue001\ue802x" {
		t.Errorf("%q %v", o.Name, o.Data)
	}
	for _, p := range o.Places("data.icon") {
		if p.File != "c/templates/a.yaml" && p.File != "c/values.yaml" || p.Line < 1 {
			t.Errorf("place %v", p)
		}
	}
}

func TestManifests(t *testing.T) {
	got, err := render.Manifests(context.Background(), []render.File{
		{Name: "k8s/a.yaml", Data: []byte("# first\n--- # one\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  <<: &x\n    hostPID: true\n---\n\n--- {apiVersion: v1, kind: Node, metadata: {name: one}}\n")},
		{Name: "k8s/b.json", Data: []byte("{\n \"apiVersion\": \"apps/v1\",\n \"kind\": \"Deployment\",\n \"metadata\": {\"name\": \"b\", \"namespace\": \"own\"},\n \"spec\": {\n  \"replicas\": 1}}")},
	}, "ns", render.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i := range got.Objects {
		o := &got.Objects[i]
		for _, p := range []string{"", "spec.hostPID", "spec.replicas", "spec.missing"} {
			lines = append(lines, fmt.Sprintf("%s %s/%s %s %q %v", o.Resource, o.Namespace, o.Name, o.Kind.Kind, p, o.Places(p)))
		}
	}
	want := []string{
		`pods ns/a Pod "" [{k8s/a.yaml 3}]`, `pods ns/a Pod "spec.hostPID" [{k8s/a.yaml 8}]`, `pods ns/a Pod "spec.replicas" [{k8s/a.yaml 6}]`, `pods ns/a Pod "spec.missing" [{k8s/a.yaml 6}]`,
		`nodes /one Node "" [{k8s/a.yaml 11}]`, `nodes /one Node "spec.hostPID" [{k8s/a.yaml 11}]`, `nodes /one Node "spec.replicas" [{k8s/a.yaml 11}]`, `nodes /one Node "spec.missing" [{k8s/a.yaml 11}]`,
		`deployments own/b Deployment "" [{k8s/b.json 1}]`, `deployments own/b Deployment "spec.hostPID" [{k8s/b.json 5}]`, `deployments own/b Deployment "spec.replicas" [{k8s/b.json 6}]`, `deployments own/b Deployment "spec.missing" [{k8s/b.json 5}]`,
	}
	for i := range max(len(lines), len(want)) {
		if i >= len(lines) || i >= len(want) || lines[i] != want[i] {
			t.Fatalf("got %q\nwant %q", lines, want)
		}
	}
}
