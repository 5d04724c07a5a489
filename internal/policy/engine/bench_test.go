package engine_test

import (
	"fmt"
	"testing"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// BenchmarkReview is the time that one rule takes for one object, by engine: a set of ten
// rules judges a pod with two containers.
func BenchmarkReview(b *testing.B) {
	for _, name := range []string{"nopriv-cel", "nopriv-rego"} {
		b.Run(name, func(b *testing.B) {
			var rules []rule.Rule
			for i := range 10 {
				rules = append(rules, with(base(b, name), func(r *rule.Rule) { r.Reference = fmt.Sprint(i) }))
			}
			s, r := compile(b, rules), review(b, "shop", privileged)
			b.ReportAllocs()
			for b.Loop() {
				v, err := s.Review(b.Context(), r, engine.Options{})
				if err != nil || len(v) != 10 {
					b.Fatal(len(v), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(10*b.N), "ns/rule")
		})
	}
}

// BenchmarkNoMatch is the time to find that no rule matches.
func BenchmarkNoMatch(b *testing.B) {
	s, r := compile(b, []rule.Rule{base(b, "nopriv-cel")}), review(b, "shop", `{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`)
	b.ReportAllocs()
	for b.Loop() {
		if v, err := s.Review(b.Context(), r, engine.Options{}); err != nil || len(v) != 0 {
			b.Fatal(v, err)
		}
	}
}
