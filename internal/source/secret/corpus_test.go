package secret_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// goSource returns the files of the Go standard library and its tools, those in folders
// named testdata too.
func goSource(t testing.TB, below string) map[string][]byte {
	t.Helper()
	root := filepath.Join(runtime.GOROOT(), "src")
	files := map[string][]byte{}
	err := filepath.WalkDir(filepath.Join(root, below), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		files[filepath.ToSlash(rel)] = data
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestNothingInTheGoStandardLibrary(t *testing.T) {
	e := engine(t)
	files := goSource(t, "")
	if len(files) < 5000 {
		t.Fatalf("%d files: this is not the whole library", len(files))
	}
	for path, data := range files {
		for _, f := range e.Scan(path, data) {
			t.Errorf("%s:%d: %s %s", path, f.Line, f.Rule, f.Redacted)
		}
	}
}

// BenchmarkScan measures one core on Go source; the paths are not known, as in a push.
func BenchmarkScan(b *testing.B) {
	e := engine(b)
	files := goSource(b, "cmd/compile")
	size := 0
	for _, data := range files {
		size += len(data)
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		for _, data := range files {
			e.Scan("", data)
		}
	}
}
