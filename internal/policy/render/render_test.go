package render_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/policy/render"
)

// fixture is a folder that stands for a repository: a chart, want.txt and perhaps
// case.json.
type fixture struct {
	Base    string
	Values  []string
	Set     []string
	Reuse   map[string]any
	Unknown []string
	dir     string
}

func open(t *testing.T, dir string) fixture {
	t.Helper()
	f := fixture{dir: dir}
	raw, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if f.Base != "" || len(f.Set) > 0 {
		return f
	}
	if list, err := filepath.Glob(filepath.Join(dir, "charts/*/Chart.yaml")); err == nil && len(list) == 1 {
		f.Base = path.Join("charts", filepath.Base(filepath.Dir(list[0])))
	}
	return f
}

func (f fixture) chart(t *testing.T) render.Chart {
	t.Helper()
	c := render.Chart{Files: tree(t, filepath.Join(f.dir, f.Base)), Base: f.Base, Release: "shop", Namespace: "shop-ns", Set: f.Set, Reuse: f.Reuse}
	for _, v := range f.Values {
		data, err := os.ReadFile(filepath.Join(f.dir, v))
		if err != nil {
			t.Fatal(err)
		}
		c.Values = append(c.Values, render.File{Name: v, Data: data})
	}
	return c
}

// tree reads the files of a chart.
func tree(t testing.TB, dir string) []render.File {
	t.Helper()
	var out []render.File
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "want.txt" || name == "case.json" {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		out = append(out, render.File{Name: name, Data: data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// line is the text of a place.
func (f fixture) line(t *testing.T, p render.Place) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(f.dir, p.File))
	if err != nil {
		t.Errorf("%v is no place of the repository: %v", p, err)
		return ""
	}
	lines := strings.Split(string(data), "\n")
	if p.Line < 1 || p.Line > len(lines) {
		t.Errorf("%s has no line %d", p.File, p.Line)
		return ""
	}
	return p.File + ": " + strings.TrimSpace(lines[p.Line-1])
}

// Each line of want.txt is "Kind/name  path  =>  file: text ; file: text": the places of a
// path, written as the lines that stand there.
func TestPlaces(t *testing.T) {
	dirs, err := filepath.Glob("testdata/charts/*")
	if err != nil || len(dirs) < 6 {
		t.Fatal("the fixtures are gone", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			f := open(t, dir)
			got, err := render.Render(context.Background(), f.chart(t))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Warnings) > 0 {
				t.Error(got.Warnings)
			}
			if diff := cmp.Diff(f.Unknown, got.Unknown); diff != "" {
				t.Error(diff)
			}
			objects := map[string]*render.Object{}
			for i := range got.Objects {
				o := &got.Objects[i]
				objects[o.Kind.Kind+"/"+o.Name] = o
			}
			want, err := os.ReadFile(filepath.Join(dir, "want.txt"))
			if err != nil {
				t.Fatal(err)
			}
			for row := range strings.Lines(string(want)) {
				left, right, ok := strings.Cut(strings.TrimSpace(row), "=>")
				if !ok || strings.HasPrefix(row, "#") {
					continue
				}
				object, at, _ := strings.Cut(strings.TrimSpace(left), "  ")
				o := objects[object]
				if o == nil {
					t.Errorf("there is no %s", object)
					continue
				}
				var lines []string
				for _, p := range o.Places(at) {
					lines = append(lines, f.line(t, p))
				}
				if got, want := strings.Join(lines, " ; "), strings.TrimSpace(right); got != want {
					t.Errorf("%s %s\n got %s\nwant %s", object, at, got, want)
				}
			}
		})
	}
}
