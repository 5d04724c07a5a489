package promrule_test

import (
	"fmt"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/alert/promrule"
)

// doubling is a text that writes 2^n letters in a few lines.
func doubling(n int) string {
	var b strings.Builder
	b.WriteString(`{{define "a0"}}x{{end}}`)
	for i := range n {
		fmt.Fprintf(&b, `{{define "a%d"}}{{template "a%d"}}{{template "a%d"}}{{end}}`, i+1, i, i)
	}
	fmt.Fprintf(&b, `{{template "a%d"}}`, n)
	return b.String()
}

func TestTextsCannotGrow(t *testing.T) {
	for _, text := range []string{
		doubling(40), `{{template "a"}}`, `{{block "a" .}}{{end}}`, `{{range query "up"}}{{range query "up"}}{{end}}{{end}}`, `{{with query "up"}}{{.}}{{end}}`,
		`{{$a := $labels.x}}{{$a}}`, `{{with $a := $labels.x}}{{$a}}{{end}}`, `{{print $labels.x $labels.x}}`, `{{printf "%1000000d" 1}}`, `{{printf "%.999999f" $value}}`,
		`{{printf "%*d" 1000000 1}}`, `{{printf "%[2]*[1]d" 1 1000000}}`, `{{printf $labels.format 1}}`, `{{$labels.format | printf}}`, `{{with printf "%s%s" . .}}{{.}}{{end}}`,
		`{{printf "%s%s" (printf "%s" $labels.x) $labels.x}}`, `{{$labels.x | printf "%s%s" $labels.x | printf "%s"}}`, `{{reReplaceAll "" $labels.x $labels.x}}`,
		`{{if reReplaceAll "" "aaaa" "b"}}{{end}}`, `{{html $labels.x}}`, `{{(index $labels "x").y}}`, strings.Repeat(`{{$labels.x}}`, 21), strings.Repeat(`{{printf "%f" $value}}`, 6),
		`{{if $value}}{{else}}{{print 1}}{{end}}`, `{{if $value}}{{else if query "up"}}{{end}}`, `{{call $labels.x}}`, `{{break}}`,
	} {
		for _, r := range []promrule.Rule{{Annotations: map[string]string{"summary": text}}, {Labels: map[string]string{"team": text}}} {
			r.Name, r.Expr = "A", "up == 0"
			if err := promrule.Check(r); !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.TooLarge) {
				t.Errorf("%.100s: %v", text, err)
			}
		}
	}
	for _, text := range []string{
		``, `plain`, `{{ $labels.instance }} of {{ .Labels.job }} is at {{ $value | humanizePercentage }}`, `{{ printf "%.2f" $value }} {{ $value | printf "%.0f" }}`,
		`{{ if gt $value 1.0 }}much{{ else if $labels.a }}some{{ else }}none{{ end }}`, `{{ with $labels.pod }}pod {{ . }}{{ end }}`, `{{ or $labels.deployment $labels.daemonset }}`,
		`{{ index $labels "a" | toUpper }}`, `{{/* a remark */}}x`,
	} {
		if err := promrule.Check(promrule.Rule{Name: "A", Expr: "up == 0", Annotations: map[string]string{"summary": text}}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
