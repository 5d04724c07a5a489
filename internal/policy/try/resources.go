package try

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy/render"
)

// Limits of what is read.
const (
	maxInput = 64 << 20 // bytes of all files of one kind
	maxFiles = 20_000
)

// reader reads files within limits.
type reader struct {
	limit int64
	files int
}

// read reads a file.
func (r *reader) read(name string) (render.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return render.File{}, unread(name, err)
	}
	defer f.Close()
	return r.take(name, f)
}

func (r *reader) take(name string, f io.Reader) (render.File, error) {
	data, err := io.ReadAll(io.LimitReader(f, r.limit+1))
	if err != nil {
		return render.File{}, unread(name, err)
	}
	r.limit -= int64(len(data))
	if r.files++; r.limit < 0 || r.files > maxFiles {
		return render.File{}, fault.New(fault.TooLarge, "There is more to read than %d MiB or %d files.", maxInput>>20, maxFiles).
			WithNext("name the folders that matter")
	}
	return render.File{Name: filepath.ToSlash(filepath.Clean(name)), Data: data}, nil
}

func unread(name string, err error) error {
	kind := fault.Invalid
	if errors.Is(err, fs.ErrNotExist) {
		kind = fault.NotFound
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fault.Wrap(kind, err, "%s cannot be read: %v.", name, err)
}

// walk reads a file, or the files below a folder that have one of the endings (all, when
// there are none), in the order of their names. Links and hidden folders are not followed.
func (r *reader) walk(root string, endings ...string) ([]render.File, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, unread(root, err)
	}
	if !info.IsDir() {
		f, err := r.read(root)
		return []render.File{f}, err
	}
	var out []render.File
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return unread(name, err)
		case d.IsDir() && name != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !d.Type().IsRegular() || len(endings) > 0 && !slices.Contains(endings, strings.ToLower(filepath.Ext(name))):
			return nil
		}
		f, err := r.read(name)
		if err == nil {
			out = append(out, f)
		}
		return err
	})
	return out, err
}

// objects reads what is judged.
func (o Options) objects(ctx context.Context) (render.Result, error) {
	if len(o.Resources) == 0 {
		return render.Result{}, fault.New(fault.Invalid, "There is nothing to judge.").WithNext("name files, folders or charts with --resources")
	}
	var out render.Result
	r := &reader{limit: maxInput}
	for _, name := range o.Resources {
		got, err := o.resource(ctx, r, name)
		if err != nil {
			return out, err
		}
		out.Objects = append(out.Objects, got.Objects...)
		out.Unknown = append(out.Unknown, got.Unknown...)
		out.Warnings = append(out.Warnings, got.Warnings...)
	}
	if len(out.Objects) == 0 {
		return out, fault.New(fault.NotFound, "There is no object of Kubernetes in %s.", strings.Join(o.Resources, ", "))
	}
	return out, nil
}

// resource reads one of what is named.
func (o Options) resource(ctx context.Context, r *reader, name string) (render.Result, error) {
	if name == "-" {
		if o.Stdin == nil {
			return render.Result{}, fault.New(fault.Invalid, "There is no standard input.")
		}
		f, err := r.take("stdin", o.Stdin)
		if err != nil {
			return render.Result{}, err
		}
		return render.Manifests(ctx, []render.File{f}, o.namespace(), render.Limits{})
	}
	charts, err := chartsIn(name)
	if err != nil {
		return render.Result{}, err
	}
	var out render.Result
	for _, dir := range charts {
		got, err := o.chart(ctx, r, dir)
		if err != nil {
			return out, err
		}
		out.Objects, out.Unknown = append(out.Objects, got.Objects...), append(out.Unknown, got.Unknown...)
		out.Warnings = append(out.Warnings, got.Warnings...)
	}
	files, err := r.walk(name, ".yaml", ".yml", ".json")
	if err != nil {
		return out, err
	}
	files = slices.DeleteFunc(files, func(f render.File) bool {
		return slices.ContainsFunc(charts, func(dir string) bool { return strings.HasPrefix(f.Name, filepath.ToSlash(dir)+"/") || dir == "." })
	})
	if len(charts) > 0 {
		// Beside charts lies much that is none of Kubernetes'.
		files = slices.DeleteFunc(files, func(f render.File) bool { return !manifest(f.Data) })
	}
	got, err := render.Manifests(ctx, files, o.namespace(), render.Limits{Files: maxFiles, Input: maxInput})
	out.Objects = append(out.Objects, got.Objects...)
	return out, err
}

// manifest reports whether every document of a stream names an apiVersion and a kind.
func manifest(data []byte) bool {
	docs := documents(data)
	return len(docs) > 0 && !slices.ContainsFunc(docs, func(doc []byte) bool {
		var head struct{ APIVersion, Kind string }
		return yaml.Unmarshal(doc, &head) != nil || head.APIVersion == "" || head.Kind == ""
	})
}

// documents splits a stream; comments alone are no document.
func documents(data []byte) [][]byte {
	var out [][]byte
	for _, doc := range bytes.Split(append([]byte("\n"), data...), []byte("\n---")) {
		var v any
		if err := yaml.Unmarshal(doc, &v); err == nil && v == nil {
			continue
		}
		out = append(out, doc)
	}
	return out
}

// chartsIn finds the charts at or below a folder; a chart's own subcharts are part of it.
func chartsIn(root string) ([]string, error) {
	info, err := os.Stat(root)
	if err != nil {
		return nil, unread(root, err)
	}
	if !info.IsDir() {
		return nil, nil
	}
	var out []string
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return unread(name, err)
		case !d.IsDir():
			return nil
		case name != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		}
		if info, err := os.Lstat(filepath.Join(name, "Chart.yaml")); err == nil && info.Mode().IsRegular() {
			out = append(out, filepath.Clean(name))
			return fs.SkipDir
		}
		return nil
	})
	return out, err
}

// chart renders a chart.
func (o Options) chart(ctx context.Context, r *reader, dir string) (render.Result, error) {
	c := render.Chart{Base: filepath.ToSlash(dir), Release: o.Release, Namespace: o.namespace(), Set: o.Set, KubeVersion: o.KubeVersion}
	if dir == "." {
		c.Base = ""
	}
	files, err := r.walk(dir)
	if err != nil {
		return render.Result{}, err
	}
	for _, f := range files {
		if f.Name, err = relative(dir, f.Name); err != nil {
			return render.Result{}, err
		}
		c.Files = append(c.Files, f)
	}
	for _, name := range o.Values {
		f, err := r.read(name)
		if err != nil {
			return render.Result{}, err
		}
		c.Values = append(c.Values, f)
	}
	return render.Render(ctx, c)
}

func relative(dir, name string) (string, error) {
	rel, err := filepath.Rel(dir, filepath.FromSlash(name))
	if err != nil {
		return "", fmt.Errorf("naming %s: %w", name, err)
	}
	return filepath.ToSlash(rel), nil
}

func (o Options) namespace() string {
	if o.Namespace == "" {
		return "default"
	}
	return o.Namespace
}
