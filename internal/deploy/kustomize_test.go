package deploy

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/fault"
)

// TestBakeK021 renders charts and kustomizations as the action bake does; nothing is fetched,
// and nothing is run.
func TestBakeK021(t *testing.T) {
	base := []File{
		{Name: "files/s/k8s/base/kustomization.yaml", Data: []byte("resources: [web.yaml]\n")},
		{Name: "files/s/k8s/base/web.yaml", Data: []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: web, image: 'r/web:1'}]}}}\n")},
	}
	over := func(text string) []File {
		return append([]File{{Name: "files/s/k8s/prod/kustomization.yaml", Data: []byte(text)}}, base...)
	}
	for _, c := range []struct{ name, text, want, refused string }{
		{"K021 an overlay", "namePrefix: prod-\nresources: [../base]\n", "name: prod-web", ""},
		{"K021 a generator", "resources: [../base]\nconfigMapGenerator: [{name: c, literals: ['at=https://example.com']}]\n", "kind: ConfigMap", ""},
		{"K021 an address", "resources: ['https://example.com/x.yaml']\n", "", "not fetched"},
		{"K021 a repository", "resources: ['github.com/a/b?ref=main']\n", "", "not fetched"},
		{"K021 a patch from an address", "resources: [../base]\npatches: [{path: 'http://169.254.169.254/x'}]\n", "", "not fetched"},
		{"K021 a file from an address", "configMapGenerator: [{name: c, files: ['a=http://example.com/x']}]\n", "", "not fetched"},
		{"K021 a folder outside", "resources: [../../../../etc]\n", "", "not fetched"},
		{"K021 a chart", "helmCharts: [{name: x, repo: 'https://example.com'}]\n", "", "runs programs"},
		{"K021 a plugin", "transformers: [x.yaml]\n", "", "runs programs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Kustomize(over(c.text), "files/s/k8s/prod")
			if c.refused == "" && (err != nil || !strings.Contains(string(got), c.want)) {
				t.Errorf("%s, %v", got, err)
			}
			if c.refused != "" {
				message, next := fault.Public(err)
				if !fault.Is(err, fault.Invalid) || !strings.Contains(message+next, c.refused) {
					t.Errorf("%v, want it refused with %q", err, c.refused)
				}
			}
		})
	}
	chart := Chart{Files: []File{
		{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: web\nversion: 1.0.0\n")}, {Name: "values.yaml", Data: []byte("n: 1\n")},
		{Name: "templates/a.yaml", Data: []byte("kind: Deployment\nmetadata: {name: '{{ .Release.Name }}'}\nspec: {replicas: {{ .Values.n }}, template: {spec: {containers: [{name: w, image: 'r/web:1'}]}}}\n")},
	}, Set: []string{"n=3"}}
	text, err := Template(chart, []string{"r/web:2"})
	if err != nil || !strings.Contains(text, "name: release-name") || !strings.Contains(text, "replicas: 3") || !strings.Contains(text, "image: r/web:2") {
		t.Errorf("the chart renders as\n%s\n%v", text, err)
	}
}

// TestChartFilesK023 examines and packs a chart.
func TestChartFilesK023(t *testing.T) {
	good := []File{{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: web\nversion: 1.0.0\n")}, {Name: "templates/a.yaml", Data: []byte("kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n")}}
	name, archive, err := Package(good, "2.1.0", "7")
	if err != nil || name != "web-2.1.0.tgz" {
		t.Fatalf("%s, %v", name, err)
	}
	back, err := Unpack(archive)
	if err != nil || !strings.Contains(string(back[0].Data), "2.1.0") {
		t.Errorf("%v, %v", back, err)
	}
	if text, err := Lint(Chart{Files: good}, false); err != nil || !strings.Contains(text, "0 chart(s) failed") {
		t.Errorf("%s, %v", text, err)
	}
	bad := []File{good[0], {Name: "templates/a.yaml", Data: []byte("{{ .Values.x | nope }}\n")}}
	if text, err := Lint(Chart{Files: bad}, false); !fault.Is(err, fault.Invalid) || strings.Contains(text, "/tmp") {
		t.Errorf("%s, %v", text, err)
	}
}
