package enforce_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/policy/enforce"
)

func TestParseAuditLine(t *testing.T) {
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return []byte(strings.TrimSpace(string(b)))
	}
	r, ok := enforce.ParseAuditLine(read("refused.json"))
	if !ok {
		t.Fatal("a refusal is not recognised")
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
	want := enforce.Applied{Actor: "run:7", Run: 7, Job: "Deploy.Production", Project: "shop", Commit: strings.Repeat("ab", 20), Time: at}
	if diff := cmp.Diff(want, r.By); diff != "" {
		t.Errorf("by (-want +got):\n%s", diff)
	}
	if r.ID != "7b0f6b3c-9c1c-4d2a-8e51-0d6e0f4f7a11" || r.Verb != "create" || r.Group != "apps" || r.Resource != "deployments" || r.Namespace != "shop-production" || r.Name != "cart" {
		t.Errorf("refusal %+v", r)
	}
	if len(r.Refs) != 1 || r.Refs[0].Assignment != "baseline" || r.Refs[0].Rule != "container-no-privilege" || r.Refs[0].Policy != "sha256:0123456789ab" ||
		r.Refs[0].Violations[0].Path != "spec.template.spec.containers[name=cart].securityContext.privileged" {
		t.Errorf("references %+v", r.Refs)
	}
	for _, name := range []string{"allowed.json", "dry-run.json", "other-policy.json", "server-error.json"} {
		if r, ok := enforce.ParseAuditLine(read(name)); ok {
			t.Errorf("%s is taken for a refusal: %+v", name, r)
		}
	}
}

func FuzzParseAuditLine(f *testing.F) {
	all, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(all) == 0 {
		f.Fatalf("%v, %v", all, err)
	}
	for _, name := range all {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, ok := enforce.ParseAuditLine(line)
		if !ok {
			return
		}
		if r.ID == "" || len(r.Refs) == 0 || len(r.Refs) > 50 || r.By.Run < 0 || r.By.Actor == "" || len(r.By.Commit) > 256 {
			t.Errorf("%+v", r)
		}
	})
}
