package compile_test

import (
	"context"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/compile"
	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/validate"
)

// bomb is a small pipeline that means to become large.
type bomb struct {
	name  string
	files map[string]string
	want  string // what the one error says
	most  uint64 // MiB that may be allocated on the way, garbage counted
}

// bombs are those that build their files; each ends with the error of a limit.
func bombs() []bomb {
	one := func(text string) map[string]string { return map[string]string{pipelineFile: text} }
	ten := "parameters:\n- name: ten\n  type: object\n  default: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
	return append([]bomb{
		{"X009 loops in loops", one(ten + "steps:\n" + nestedLoops(12, "- script: x\n")), "more than 500000 steps", 700},
		{"X009 loops in loops that yield nothing", one(ten + "steps:\n" + nestedLoops(12, "- ${{ if false }}:\n  - script: x\n")), "more than 500000 steps", 1500},
		{"X009 loops over the entries of mappings", one(strings.Replace(ten, "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", "{a: 0, b: 1, c: 2, d: 3, e: 4, f: 5}", 1) + "variables:\n" + mappingLoops(14)), "larger than", 900},
		{"X009 templates that include two of the next", doubling("steps:\n- template: %[1]s\n- template: %[1]s\n"), "more than 500000 steps", 1500},
		{"X009 a template that includes itself", map[string]string{pipelineFile: "steps:\n- template: t.yml\n", "t.yml": "steps:\n- template: t.yml\n"}, "more than 20 levels deep", 10},
		{"X009 two templates that include each other", map[string]string{pipelineFile: "steps:\n- template: a.yml\n", "a.yml": "steps:\n- template: b.yml\n", "b.yml": "steps:\n- template: a.yml\n"}, "more than 20 levels deep", 10},
		{"X009 a template that extends itself", map[string]string{pipelineFile: "extends:\n  template: t.yml\n", "t.yml": "extends:\n  template: t.yml\n"}, "more than 20 levels deep", 10},
		{"X009 templates nested a hundred deep", nestedTemplates(100), "more than 20 levels deep", 10},
		{"X009 a parameter that doubles on every level", doubling("parameters:\n- name: p\n  default: 0123456789abcdef\nsteps:\n- template: %[1]s\n  parameters:\n    p: ${{ format('{0}{0}{0}{0}', parameters.p) }}\n"), "larger than", 300},
		{"X009 a list that doubles on every level", doubling("parameters:\n- name: p\n  type: object\n  default: [0123456789]\nsteps:\n- template: %[1]s\n  parameters:\n    p: [\"${{ parameters.p }}\", \"${{ parameters.p }}\", \"${{ parameters.p }}\"]\n"), "larger than", 300},
		{"X009 a list that doubles, copied as text", doubling("parameters:\n  p: [0123456789]\nsteps:\n- template: %[1]s\n  parameters:\n    p: [\"${{ parameters.p }}\", \"${{ parameters.p }}\", \"${{ parameters.p }}\"]\n"), "larger than", 900},
		{"X009 variables that double one another", one("variables:\n- name: v0\n  value: 0123456789abcdef\n" + doublingVariables(30) + "steps:\n- script: x\n"), "larger than", 300},
	}, append(expressionBombs(), fileBombs()...)...)
}

// fileBombs are files that are bombs before anything is expanded.
func fileBombs() []bomb {
	var aliases strings.Builder
	aliases.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 12 {
		fmt.Fprintf(&aliases, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i, i, i, i, i, i)
	}
	one := func(text string) map[string]string { return map[string]string{pipelineFile: text} }
	return []bomb{
		{"X001 aliases of aliases", one(aliases.String() + "steps:\n- script: a\n"), "The anchor '&a0' is not supported", 10},
		{"X009 brackets in brackets", one("steps: " + strings.Repeat("[", 1<<20)), "", 400},
		{"X009 lists in lists", one("steps: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000)), "nested more than 100 levels deep", 50},
		{"X009 a great many items", one("steps:\n" + strings.Repeat("- \n", 3<<20)), "has more than 1000000 values", 20},
		{"X009 a large file", one("steps:\n- script: " + strings.Repeat("a", 10<<20)), "at most 10485760 are allowed", 20},
	}
}

// expressionBombs are single expressions with large results.
func expressionBombs() []bomb {
	// million is 2^20 bytes without any limit being near.
	const million = "variables:\n- name: a\n  value: aaaaaaaaaaaaaaaa\n- name: b\n  value: ${{ format('{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}', variables.a) }}\n" +
		"- name: c\n  value: ${{ format('{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}', variables.b) }}\n- name: m\n  value: ${{ format('{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}', variables.c) }}\n"
	large := func(expression string) map[string]string {
		text := strings.ReplaceAll(million, "a\n  value: aaaaaaaaaaaaaaaa", "a\n  value: "+strings.Repeat("a", 256))
		return map[string]string{pipelineFile: text + "steps:\n- ${{ if " + expression + " }}:\n  - script: x\n"}
	}
	many := func(call string) string { return "and(" + strings.Repeat(call+", ", 20_000/(len(call)+2)) + "true)" }
	return []bomb{
		{"X009 format with a large result", large("format('" + strings.Repeat("{0}", 20) + "', variables.m)"), "The result of 'format' is larger than 10485760 bytes", 150},
		{"X009 replace with a large result", large("replace(variables.m, 'a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')"), "The result of 'replace' is larger than 10485760 bytes", 100},
		{"X009 join with a large result", large("join(variables.c, split(variables.b, 'a'))"), "The result of 'join' is larger than 10485760 bytes", 150},
		{"X009 split into a great many", large("length(split(variables.m, 'a'))"), "The result of 'split' has more than 500000 items", 100},
		{"X009 format in format", large("format('{0}{0}', format('{0}{0}', format('{0}{0}', format('{0}{0}', variables.m))))"), "is larger than 10485760 bytes", 200},
		{"X009 many looks at a large text", large(many("length(variables.m)")), "take more work than", 100},
		{"X009 many comparisons of a large text", large(many("contains(variables.m, 'A')")), "take more work than", 900},
		{"X009 a large text in the condition of a loop", map[string]string{pipelineFile: "parameters:\n- name: l\n  type: object\n  default: [" + strings.Repeat("0,", 10_000) + "0]\n" +
			strings.ReplaceAll(million, "aaaaaaaaaaaaaaaa\n", strings.Repeat("a", 256)+"\n") + "steps:\n- ${{ each x in parameters.l }}:\n  - ${{ if startsWith(lower(variables.m), 'b') }}:\n    - script: x\n"}, "take more work than", 400},
		{"X009 wildcards over lists in lists", map[string]string{pipelineFile: "steps:\n- template: t1.yml\n  parameters: {p: [0123456789, 0123456789]}\n",
			"t1.yml": lists("t2.yml"), "t2.yml": lists("t3.yml"), "t3.yml": lists("t4.yml"), "t4.yml": lists("t5.yml"), "t5.yml": lists("t6.yml"), "t6.yml": lists("t7.yml"), "t7.yml": "parameters:\n- name: p\n  type: object\nsteps:\n- ${{ if length(parameters.p.*.*.*.*.*.*.*) }}:\n  - script: x\n"}, "larger than", 300},
	}
}

// lists is a template that hands a list of ten of its lists to the next.
func lists(next string) string {
	return "parameters:\n- name: p\n  type: object\nsteps:\n- template: " + next + "\n  parameters:\n    p:\n" + strings.Repeat("    - - ${{ parameters.p }}\n", 10)
}

// nestedLoops are loops over ten items, one in the other, around a body.
func nestedLoops(depth int, body string) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "%s- ${{ each x%d in parameters.ten }}:\n", strings.Repeat("  ", i), i)
	}
	for line := range strings.Lines(body) {
		b.WriteString(strings.Repeat("  ", depth) + line)
	}
	return b.String()
}

// mappingLoops are loops in a mapping, one in the other.
func mappingLoops(depth int) string {
	var b strings.Builder
	key := "v"
	for i := range depth {
		fmt.Fprintf(&b, "%s${{ each x%d in parameters.ten }}:\n", strings.Repeat("  ", i+1), i)
		key += fmt.Sprintf("${{ x%d.key }}", i)
	}
	return b.String() + strings.Repeat("  ", depth+1) + key + ": 1\nsteps:\n- script: x\n"
}

// doubling is a chain of twenty templates made of one text, in which %[1]s is the next.
func doubling(text string) map[string]string {
	files := map[string]string{pipelineFile: "steps:\n- template: t1.yml\n", "t21.yml": "parameters: {p: 0}\nsteps:\n- script: x\n"}
	for i := 1; i <= 20; i++ {
		files[fmt.Sprintf("t%d.yml", i)] = fmt.Sprintf(text, fmt.Sprintf("t%d.yml", i+1))
	}
	files["t20.yml"] = "parameters: {p: 0}\nsteps:\n- script: x\n"
	return files
}

func nestedTemplates(depth int) map[string]string {
	files := map[string]string{pipelineFile: "steps:\n- template: t1.yml\n", fmt.Sprintf("t%d.yml", depth): "steps:\n- script: x\n"}
	for i := 1; i < depth; i++ {
		files[fmt.Sprintf("t%d.yml", i)] = fmt.Sprintf("steps:\n- template: t%d.yml\n", i+1)
	}
	return files
}

func doublingVariables(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "- name: v%d\n  value: ${{ variables.v%d }}${{ variables.v%d }}\n", i+1, i, i)
	}
	return b.String()
}

// TestBombsX009_X010 lights each bomb: it ends with the error of a limit, and what was allocated until
// then, garbage counted, is below a ceiling. Time is not looked at: it is bounded by the same
// counts.
func TestBombsX009_X010(t *testing.T) {
	for _, b := range bombs() {
		t.Run(b.name, func(t *testing.T) {
			loader := expand.LoaderFunc(func(_ context.Context, ref expand.Ref) ([]byte, error) {
				if text, ok := b.files[ref.Path]; ok {
					return []byte(text), nil
				}
				return nil, fs.ErrNotExist
			})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, found := compile.Full(t.Context(), pipelineFile, loader, compile.Options{Features: validate.AllFeatures()})
			runtime.ReadMemStats(&after)
			if !found.Failed() || !strings.Contains(found.Error(), b.want) || len(found.Errors()) > 100 {
				t.Errorf("want the error %q, got %d:\n%.2000s", b.want, len(found), found.Error())
			}
			if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > b.most {
				t.Errorf("%d MiB were allocated, more than %d", got, b.most)
			} else {
				t.Logf("%d MiB were allocated", got)
			}
		})
	}
}
