package arch_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "towpath.dev/towpath/"

// kernel lists the packages of the kernel from the bottom up; each may import those
// before it ("kernel above").
var kernel = []string{"fault", "clock", "store", "event", "vault", "identity", "blob", "job"}

// kinds of places in the architecture, after the words in the table's last column.
var (
	domains = []string{"source", "pipeline", "registry", "cluster", "deploy", "policy", "monitor", "evidence", "dev", "work"}
	edges   = []string{"api", "web"}
)

// rules is the table in code: for each package the first segments below internal/ that it
// may import; "*" is everything. TestRulesAgreeWithThePage compares it with the page.
func rules() map[string][]string {
	r := map[string][]string{"fault": {}, "clock": {}, "app": {"*"}}
	for i, k := range kernel[2:] {
		r[k] = kernel[:i+2]
	}
	for _, d := range domains {
		r[d] = kernel
	}
	for _, e := range edges {
		r[e] = slices.Concat(kernel, domains)
	}
	r["agent"] = []string{"pipeline/expr", "pipeline/feed", "pipeline/mask", "pipeline/plan", "pipeline/protocol", "monitor/table", "monitor/tail", "deploy/route", "dev/tunnel"}
	// What the API answers are the domains' read models.
	r["cli"] = append(slices.Clone(kernel), "app", "api", "local", "cluster", "deploy", "evidence", "monitor", "pipeline", "policy", "registry", "source", "dev", "work")
	r["local"] = append(slices.Clone(kernel), "pipeline", "agent")
	r["demo"] = []string{}
	return r
}

// words is how the page says each rule.
func words() map[string]string {
	w := map[string]string{
		"fault": "std", "clock": "std", "app": "everything", "agent": "`pipeline/{expr,feed,mask,plan,protocol}`, `monitor/{table,tail}`, `deploy/route`, `dev/tunnel`, std",
		"cli": "`app` (serve, up), `api` and its client, `local`, the domains' read models, kernel", "demo": "std", "local": "`pipeline`, `agent`, kernel",
	}
	for _, k := range kernel[2:] {
		w[k] = "kernel above"
	}
	for _, d := range domains {
		w[d] = "kernel"
	}
	for _, e := range edges {
		w[e] = "domains' services, kernel"
	}
	return w
}

// outside lists the packages below internal/ that are not of the product's run time.
var outside = []string{"arch", "scenario", "e2e"}

// forbidden lists what edges must not import although their rule would allow it: SQL is
// the domains' business.
var forbidden = []string{"database/sql", module + "internal/store"}

var tableRow = regexp.MustCompile("^\\| `([a-z/]+)` \\| .* \\| (.*) \\|$")

func TestRulesAgreeWithThePage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n## Packages\n")
	if !ok {
		t.Fatal("ARCHITECTURE.md has no section Packages")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	got := map[string]string{}
	for line := range strings.Lines(section) {
		if m := tableRow.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			got[m[1]] = m[2]
		}
	}
	if diff := cmp.Diff(words(), got); diff != "" {
		t.Errorf("ARCHITECTURE.md and the rules of this test differ (-test +page):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(words())), slices.Sorted(maps.Keys(rules()))); diff != "" {
		t.Errorf("a rule has no words or the reverse:\n%s", diff)
	}
}

// source is one Go file's imports.
type source struct {
	path    string // below internal/
	imports []string
	test    bool
}

func sources(t *testing.T) []source {
	t.Helper()
	root := ".."
	var out []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("parsing %s: %w", path, err)
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		s := source{path: filepath.ToSlash(rel), test: strings.HasSuffix(path, "_test.go")}
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, p)
		}
		out = append(out, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// check returns what is wrong with a file's imports; tests may in addition use storetest
// and anything of the kernel.
func check(s source) []string {
	first, _, _ := strings.Cut(s.path, "/")
	if slices.Contains(outside, first) {
		return nil
	}
	allowed, ok := rules()[first]
	if !ok {
		return []string{fmt.Sprintf("%s: package %s is not in the table of ARCHITECTURE.md", s.path, first)}
	}
	var wrong []string
	for _, p := range s.imports {
		if slices.Contains(edges, first) && !s.test && slices.Contains(forbidden, p) {
			wrong = append(wrong, fmt.Sprintf("%s imports %s: an edge asks a domain's service", s.path, p))
			continue
		}
		if !strings.HasPrefix(p, module) {
			continue
		}
		inner, ok := strings.CutPrefix(p, module+"internal/")
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s imports %s", s.path, p))
			continue
		}
		target, _, _ := strings.Cut(inner, "/")
		switch {
		case target == first, slices.Contains(allowed, "*"), slices.Contains(allowed, target), slices.Contains(allowed, inner):
		case s.test && slices.Contains(kernel, target) && !slices.Contains(kernel, first):
		case s.test && inner == "store/storetest":
		case s.test && first == "pipeline" && target == "agent": // the two ends of the protocol are tested together
		default:
			wrong = append(wrong, fmt.Sprintf("%s imports %s, which %s may not", s.path, inner, first))
		}
	}
	return wrong
}

func TestImportsFollowTheTable(t *testing.T) {
	all := sources(t)
	if len(all) < 20 {
		t.Fatalf("only %d files were found", len(all))
	}
	for _, s := range all {
		for _, w := range check(s) {
			t.Error(w)
		}
	}
}

// TestTheCheckFindsBreaches shows that each kind of rule bites.
func TestTheCheckFindsBreaches(t *testing.T) {
	in := module + "internal/"
	tests := []struct {
		path, imports string
		test, ok      bool
	}{
		{"deploy/service.go", in + "registry", false, false},
		{"deploy/service.go", in + "registry/protocol", false, false},
		{"deploy/service.go", in + "deploy/helm", false, true},
		{"deploy/service.go", in + "identity", false, true},
		{"deploy/service.go", in + "app", false, false},
		{"deploy/service_test.go", in + "registry", true, false},
		{"deploy/service_test.go", in + "store/storetest", true, true},
		{"event/log.go", in + "identity", false, false},
		{"event/log.go", in + "store", false, true},
		{"event/log.go", in + "event/x", false, true},
		{"fault/fault.go", in + "clock", false, false},
		{"api/runs.go", in + "pipeline", false, true},
		{"api/runs.go", in + "store", false, false},
		{"api/runs.go", "database/sql", false, false},
		{"api/runs.go", in + "web", false, false},
		{"web/page.go", in + "store", false, false},
		{"web/page.go", in + "web/view", false, true},
		{"agent/run.go", in + "pipeline/plan", false, true},
		{"agent/run.go", in + "pipeline", false, false},
		{"agent/run.go", in + "identity", false, false},
		{"pipeline/service.go", in + "agent", false, false},
		{"pipeline/run_test.go", in + "agent/warden", true, true},
		{"cli/root.go", in + "api", false, true},
		{"cli/root.go", in + "web", false, false},
		{"app/app.go", in + "web", false, true},
		{"helpers/x.go", "fmt", false, false},
		{"job/queue.go", module + "cmd/towpath", false, false},
	}
	for _, tt := range tests {
		wrong := check(source{path: tt.path, imports: []string{tt.imports}, test: tt.test})
		if (len(wrong) == 0) != tt.ok {
			t.Errorf("%s importing %s: %v, want fine: %t", tt.path, tt.imports, wrong, tt.ok)
		}
	}
}
