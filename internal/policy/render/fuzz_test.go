package render_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/policy/render"
)

// The second rendering, with its marks taken out, is the first one.
func TestMarksChangeNothing(t *testing.T) {
	dirs, err := filepath.Glob("testdata/charts/*")
	if err != nil {
		t.Fatal(err)
	}
	charts := []render.Chart{{
		Files: tree(t, "../../../examples/shop/charts/shop"), Base: "charts/shop", Release: "shop", Namespace: "shop",
		Set: []string{"registry=localhost:7080,web.digest=$(a),catalog.digest=$(b),cart.digest=$(c),pricing.digest=$(d)"},
	}}
	for _, dir := range dirs {
		charts = append(charts, open(t, dir).chart(t))
	}
	for _, c := range charts {
		clean, marked, err, again := render.Twice(c)
		if err != nil || again != nil {
			t.Fatal(err, again)
		}
		for name := range clean {
			if strings.Contains(clean[name], "password:") {
				delete(clean, name) // randAlphaNum
				delete(marked, name)
			}
		}
		if diff := cmp.Diff(clean, marked); diff != "" {
			t.Errorf("%s: %s", c.Base, diff)
		}
	}
}

// Whatever a template says: nothing panics, and marks make no difference.
func FuzzRender(f *testing.F) {
	seeds, err := filepath.Glob("testdata/charts/*/charts/*/templates/*")
	if err != nil || len(seeds) == 0 {
		f.Fatal("the fixtures are gone", err)
	}
	for _, name := range seeds {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	for _, s := range []string{
		"{{ define \"a\" }}x\n{{ end }}{{ include \"a\" . | nindent 2 }}", "{{- if (include \"a\" .) -}} a {{- else if include \"a\" . }}b{{ end -}}{{ define \"a\" }}{{ end }}",
		"{{ $x := include \"a\" . }}{{ $x = .Values.a | default \"}}\" }}{{ $x }}{{/* c }} */ -}} \n {{define `a`}}`{{end}}", "{{ tpl (.Values.t | default \"{{ . }}\") 1 }}",
		"{{ range $i, $e := list 1 2 -}} {{ $e }} {{- else }}x{{ end }}", "{{ (dict \"a\" (list 1)).a | toJson }}{{ with .Values }}{{ .a }}{{ end }}",
		"{{ block \"b\" . }}{{ break }}{{ end }}", "{{ 'a' }}{{ .5 }}{{ -1 }}{{ 1i }}{{ $.Values.x.y }}{{ .Values }}", "{{\n.Release.Name\n| quote\n}}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, word := range []string{"rand", "gen", "now", "uuid", "ago", "date", "htmlDate", "bcrypt", "htpasswd", "encrypt", "shuffle", "derive", "unix", "Pointer", "\ue000", "towpath_"} {
			if strings.Contains(text, word) {
				return // Two renderings differ by themselves, or in what they are called.
			}
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r >= 0xe000 && r < 0xf000 }) || strings.Contains(text, "keys") || strings.Contains(text, "values") {
			return // Marks in the text; maps without an order.
		}
		c := chart("templates/a.yaml", text, "values.yaml", "a: b\nt: '{{ .Values }}'\nx: {y: [1]}\n")
		c.Limits.Steps = 2000
		clean, marked, err, again := render.Twice(c)
		if strings.Contains(clean["c/templates/a.yaml"], "0x") {
			return // An address was printed.
		}
		if err == nil && again == nil {
			if diff := cmp.Diff(clean, marked); diff != "" {
				t.Errorf("%q: %s", text, diff)
			}
		}
		if err == nil && again != nil && !strings.Contains(again.Error(), "more than is allowed") {
			t.Errorf("%q renders, but not with marks: %v", text, again)
		}
	})
}
