package depend_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/source/depend"
)

var update = flag.Bool("update", false, "write the expected results")

func parse(name string, data []byte) ([]depend.Requirement, error) {
	if strings.HasSuffix(name, "go.mod") {
		return depend.ParseGoMod(data)
	}
	return depend.ParsePackageLock(data)
}

// TestManifests reads each manifest of testdata; NAME.want.json is what it names.
func TestManifests(t *testing.T) {
	var files []string
	for _, pattern := range []string{"testdata/*.go.mod", "testdata/*package-lock.json"} {
		list, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, list...)
	}
	if len(files) < 4 {
		t.Fatalf("%d fixtures", len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found, err := parse(file, data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(found, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			golden := file + ".want.json"
			if *update {
				if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSpace(string(want)), string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			lines := strings.Split(string(data), "\n")
			for _, r := range found {
				name := r.Name
				if r.Line > len(lines) || !strings.Contains(lines[r.Line-1], name) && r.Name != "lodash" {
					t.Errorf("%s is not named on line %d", name, r.Line)
				}
			}
		})
	}
}

func TestBrokenManifests(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"go.mod", "module x\nrequire (\n"},
		{"go.mod", "module x\nrequire a latest\n"},
		{"go.mod", strings.Repeat("// \n", 1<<19)},
		{"package-lock.json", ""},
		{"package-lock.json", "{"},
		{"package-lock.json", `{"packages": {"node_modules/a": {"version": "1"`},
		{"package-lock.json", `{} {}`},
		{"package-lock.json", `{"x": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`},
		{"package-lock.json", strings.Repeat(`{"dependencies": {"a": `, 200) + "1" + strings.Repeat("}}", 200)},
	} {
		if found, err := parse(tt.name, []byte(tt.text)); err == nil {
			t.Errorf("%s %.40q: no error but %d packages", tt.name, tt.text, len(found))
		}
	}
}

// table is Advisories from a map: "ecosystem name version" → advisories.
type table map[string][]depend.Advisory

func (t table) Affecting(_ context.Context, ecosystem, name, version string) ([]depend.Advisory, error) {
	if name == "broken" {
		return nil, errors.New("the database is down")
	}
	return t[ecosystem+" "+name+" "+version], nil
}

func goMod(requires ...string) []byte {
	return []byte("module x\n\nrequire (\n\t" + strings.Join(requires, "\n\t") + "\n)\n")
}

func TestReview(t *testing.T) {
	known := table{
		"Go text 0.3.5": {
			{ID: "GO-1", Aliases: []string{"CVE-1"}, Summary: "Reads out of bounds.", Fixed: "0.3.7"},
			{ID: "GHSA-1", Aliases: []string{"CVE-1"}, Severity: depend.High},
		},
		"Go unfixed 1.0.0": {{ID: "GO-2", Severity: depend.Unknown, Summary: "No fix"}},
		"Go unrated 1.0.0": {{ID: "GO-3", Summary: "No rating", Fixed: "1.0.1"}},
		"Go minor 1.0.0":   {{ID: "GO-4", Severity: depend.Medium, Fixed: "2.0.0"}},
		"npm lodash 1.0.0": {{ID: "GHSA-2", Severity: depend.Critical, Fixed: "1.0.1"}},
	}
	lock := []byte(`{"lockfileVersion": 3, "packages": {"": {}, "node_modules/lodash": {"version": "1.0.0"}}}`)
	tests := []struct {
		name       string
		files      []depend.File
		threshold  string
		conclusion string
		title      string
		notes      []string // "file:line package fails"
	}{
		{"nothing", nil, "", depend.Success, "no dependency changed", nil},
		{"a clean addition", []depend.File{{Path: "go.mod", Base: goMod(), Head: goMod("text v0.3.7")}}, "", depend.Success, "1 changed package, nothing known against", nil},
		{"vulnerable, two names of one", []depend.File{{Path: "go.mod", Head: goMod("ok v1.0.0", "text v0.3.5")}}, "", depend.Failure, "1 vulnerable package added", []string{"go.mod:5 text true"}},
		{"old and untouched", []depend.File{{Path: "go.mod", Base: goMod("text v0.3.5"), Head: goMod("text v0.3.5", "ok v1.0.0")}}, "", depend.Success, "1 changed package, nothing known against", nil},
		{"moved between files", []depend.File{{Path: "go.mod", Base: goMod("text v0.3.5")}, {Path: "sub/go.mod", Head: goMod("text v0.3.5")}}, "", depend.Success, "no dependency changed", nil},
		{"a downgrade", []depend.File{{Path: "go.mod", Base: goMod("text v0.3.7"), Head: goMod("text v0.3.5")}}, "", depend.Failure, "1 vulnerable package added", []string{"go.mod:4 text true"}},
		{"unknown without a fix", []depend.File{{Path: "go.mod", Head: goMod("unfixed v1.0.0")}}, "", depend.Success, "1 vulnerable package, none at or above the threshold", []string{"go.mod:4 unfixed false"}},
		{"unknown with a fix", []depend.File{{Path: "go.mod", Head: goMod("unrated v1.0.0")}}, "critical", depend.Failure, "1 vulnerable package added", []string{"go.mod:4 unrated true"}},
		{"below the threshold", []depend.File{{Path: "go.mod", Head: goMod("minor v1.0.0")}}, "", depend.Success, "1 vulnerable package, none at or above the threshold", []string{"go.mod:4 minor false"}},
		{"at the threshold", []depend.File{{Path: "go.mod", Head: goMod("minor v1.0.0")}}, "medium", depend.Failure, "1 vulnerable package added", []string{"go.mod:4 minor true"}},
		{"npm", []depend.File{{Path: "web/package-lock.json", Head: lock}}, "", depend.Failure, "1 vulnerable package added", []string{"web/package-lock.json:1 lodash true"}},
		{"fixtures do not count", []depend.File{{Path: "web/node_modules/x/package-lock.json", Head: lock}, {Path: "testdata/go.mod", Head: goMod("text v0.3.5")}}, "", depend.Success, "no dependency changed", nil},
		{"unreadable head", []depend.File{{Path: "go.mod", Base: goMod(), Head: []byte("module x\n\nrequire (\n")}}, "", depend.Failure, "1 manifest cannot be reviewed", []string{"go.mod:4  true"}},
		{"unreadable base", []depend.File{{Path: "go.mod", Base: []byte("("), Head: goMod("text v0.3.5")}}, "", depend.Failure, "1 vulnerable package added", []string{"go.mod:4 text true"}},
		{"removed", []depend.File{{Path: "go.mod", Base: goMod("text v0.3.5")}}, "", depend.Success, "no dependency changed", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := depend.Review(t.Context(), known, tt.files, tt.threshold)
			if err != nil {
				t.Fatal(err)
			}
			var notes []string
			for _, a := range r.Annotations {
				notes = append(notes, fmt.Sprintf("%s:%d %s %t", a.File, a.Line, a.Package, a.Fails))
			}
			if r.Conclusion != tt.conclusion || r.Title != tt.title {
				t.Errorf("got %s %q, want %s %q", r.Conclusion, r.Title, tt.conclusion, tt.title)
			}
			if diff := cmp.Diff(tt.notes, notes); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestReviewSaysWhatToDo(t *testing.T) {
	known := table{"Go text 0.3.5": {
		{ID: "GO-1", Aliases: []string{"CVE-1"}, Summary: "Reads out of bounds.", Fixed: "0.3.7"},
		{ID: "GHSA-1", Aliases: []string{"CVE-1"}, Severity: depend.High},
	}}
	r, err := depend.Review(t.Context(), known, []depend.File{{Path: "go.mod", Base: goMod("text v0.3.4"), Head: goMod("text v0.3.5")}}, "")
	if err != nil {
		t.Fatal(err)
	}
	want := "text 0.3.5 is vulnerable (GO-1, CVE-1, high): Reads out of bounds. Fixed in 0.3.7: go get text@v0.3.7"
	if len(r.Annotations) != 1 || r.Annotations[0].Message != want {
		t.Errorf("got %+v, want %q", r.Annotations, want)
	}
	if r.Changes[0].Before != "0.3.4" {
		t.Errorf("before: %q", r.Changes[0].Before)
	}
}

func TestReviewThatCannotJudge(t *testing.T) {
	files := []depend.File{{Path: "go.mod", Head: goMod("broken v1.0.0")}}
	if _, err := depend.Review(t.Context(), table{}, files, ""); err == nil {
		t.Error("advisories that cannot be asked: no error")
	}
	if _, err := depend.Review(t.Context(), table{}, nil, "awful"); !fault.Is(err, fault.Invalid) {
		t.Errorf("an unknown threshold: %v", err)
	}
}

func FuzzGoMod(f *testing.F) { fuzz(f, "testdata/*.go.mod", depend.ParseGoMod) }

func FuzzPackageLock(f *testing.F) {
	fuzz(f, "testdata/*package-lock.json", depend.ParsePackageLock)
}

// fuzz checks that any input is read or refused, and that lines are within it.
func fuzz(f *testing.F, pattern string, parse func([]byte) ([]depend.Requirement, error)) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := parse(data)
		if err != nil {
			return
		}
		for _, r := range found {
			if r.Name == "" || r.Line < 1 || r.Line > strings.Count(string(data), "\n")+1 {
				t.Errorf("%+v", r)
			}
		}
	})
}
