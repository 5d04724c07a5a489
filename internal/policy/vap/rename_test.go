package vap

import (
	"strings"
	"testing"
)

func TestRename(t *testing.T) {
	to := func(name string) (string, bool) { return name + "_2", name == "a" || name == "b" }
	for in, want := range map[string]string{
		`variables.a + variables.b`:                 `variables.a_2 + variables.b_2`,
		"variables\n .\ta.c":                        `variables.a_2.c`,
		`"variables.a" + 'variables.a'`:             `"variables.a" + 'variables.a'`,
		`"\"variables.a" + variables.a`:             `"\"variables.a" + variables.a_2`,
		`r"\" + variables.a + R'\'`:                 `r"\" + variables.a_2 + R'\'`,
		`"""variables.a " variables.a""" + b'"'`:    `"""variables.a " variables.a""" + b'"'`,
		"// variables.a\nvariables.a // variables":  "// variables.a\nvariables.a_2 // variables",
		`object.variables.a + xvariables.a`:         `object.variables.a + xvariables.a`,
		`br.variables.a`:                            `br.variables.a`,
		`has(variables.a.x) ? variables.b[0] : 1/2`: `has(variables.a_2.x) ? variables.b_2[0] : 1/2`,
	} {
		got, err := rename(in, to)
		if err != nil || got != want {
			t.Errorf("%q became %q (%v), want %q", in, got, err, want)
		}
	}
	for _, in := range []string{`variables.c`, `variables`, `x.map(variables, 1)`, `variables.?a`, `variables["a"]`, `variables.`} {
		if got, err := rename(in, to); err == nil {
			t.Errorf("%q became %q, want an error", in, got)
		}
	}
}

// Renaming to the same names changes nothing but the spaces around dots, and ends.
func FuzzRename(f *testing.F) {
	for _, s := range []string{`variables.a`, `"variables.a`, `'''x' variables`, `// x`, `r"\"`, `variables . a`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := rename(in, func(name string) (string, bool) { return name, name != "" })
		if err != nil {
			return
		}
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
		if squeeze(got) != squeeze(in) {
			t.Errorf("%q became %q", in, got)
		}
	})
}
