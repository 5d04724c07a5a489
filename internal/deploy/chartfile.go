package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"

	"towpath.dev/towpath/internal/fault"
)

// Template renders a chart without a cluster, as `helm template` does: hooks too. images
// replace those of the same name; nil leaves all as they are.
func Template(c Chart, images []string) (string, error) {
	ch, err := load(c.Files)
	if err != nil {
		return "", err
	}
	values, err := c.values()
	if err != nil {
		return "", err
	}
	in := action.NewInstall(action.NewConfiguration())
	in.DryRunStrategy, in.Replace, in.IncludeCRDs = action.DryRunClient, true, true
	if in.ReleaseName, in.Namespace = c.Name, c.Namespace; in.ReleaseName == "" {
		in.ReleaseName = "release-name" // as `helm template` has it
	}
	if in.Namespace == "" {
		in.Namespace = "default"
	}
	got, err := in.RunWithContext(context.Background(), ch, values)
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "The chart does not render: %v.", err).WithNext("check it with the command lint")
	}
	r := asRelease(got)
	if r == nil {
		return "", fmt.Errorf("rendering %s: no release came of it", ch.Name())
	}
	return ReplaceImages(withHooks(r), images)
}

func withHooks(r *helmrelease.Release) string {
	var out strings.Builder
	fmt.Fprintln(&out, strings.TrimSpace(r.Manifest))
	for _, h := range r.Hooks {
		fmt.Fprintf(&out, "---\n# Source: %s\n%s\n", h.Path, strings.TrimSpace(h.Manifest))
	}
	return out.String()
}

// ReplaceImages puts images in the place of those of the same name in a stream of manifests.
func ReplaceImages(text string, images []string) (string, error) {
	if len(images) == 0 {
		return text, nil
	}
	objects, err := decode(strings.NewReader(text))
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "What was rendered is no valid YAML: %v.", err)
	}
	for _, o := range objects {
		spec := podSpecOf(o)
		for _, c := range containersOf(spec) {
			image, _ := c["image"].(string)
			for _, full := range images {
				if bare(full) == bare(strings.TrimSpace(image)) {
					c["image"] = full
				}
			}
		}
	}
	out, err := encode(objects)
	if err != nil {
		return "", err
	}
	return out.String(), nil
}

// unpacked writes a chart into a folder of its own, for what reads folders only, and removes
// it after do.
func unpacked(list []File, do func(dir string) error) error {
	dir, err := os.MkdirTemp("", "towpath-chart-")
	if err != nil {
		return fmt.Errorf("making room for a chart: %w", err)
	}
	defer os.RemoveAll(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("making room for a chart: %w", err)
	}
	defer root.Close()
	for _, f := range list {
		name := filepath.FromSlash(f.Name)
		if err := errors.Join(root.MkdirAll(filepath.Dir(name), 0o700), root.WriteFile(name, f.Data, 0o600)); err != nil {
			return fmt.Errorf("writing %s of a chart: %w", f.Name, err)
		}
	}
	return do(dir)
}

// Lint examines a chart as `helm lint` does. text is what it says; an error is returned when it
// finds one, with strict also for warnings.
func Lint(c Chart, strict bool) (text string, err error) {
	values, err := c.values()
	if err != nil {
		return "", err
	}
	var said strings.Builder
	failed := 0
	err = unpacked(c.Files, func(dir string) error {
		for _, m := range lint.RunAll(dir, values, c.Namespace).Messages {
			line := strings.ReplaceAll(m.Error(), dir+"/", "")
			fmt.Fprintln(&said, strings.ReplaceAll(line, dir, "."))
			if m.Severity >= 3 || strict && m.Severity >= 2 {
				failed++
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&said, "\n1 chart(s) linted, %d chart(s) failed\n", min(failed, 1))
	if failed > 0 {
		return said.String(), fault.New(fault.Invalid, "helm lint finds %d faults in the chart.", failed)
	}
	return said.String(), nil
}

// Package makes the archive of a chart, as `helm package` does; version and appVersion, when
// they are not "", take the place of the chart's.
func Package(list []File, version, appVersion string) (name string, content []byte, err error) {
	ch, err := load(list)
	if err != nil {
		return "", nil, err
	}
	if version != "" {
		ch.Metadata.Version = version
	}
	if appVersion != "" {
		ch.Metadata.AppVersion = appVersion
	}
	if err := ch.Validate(); err != nil {
		return "", nil, fault.Wrap(fault.Invalid, err, "The chart is not valid: %v.", err)
	}
	dir, err := os.MkdirTemp("", "towpath-chart-")
	if err != nil {
		return "", nil, fmt.Errorf("making room for a chart: %w", err)
	}
	defer os.RemoveAll(dir)
	made, err := chartutil.Save(ch, dir)
	if err != nil {
		return "", nil, fault.Wrap(fault.Invalid, err, "The chart cannot be packed: %v.", err)
	}
	content, err = os.ReadFile(made)
	if err != nil {
		return "", nil, fmt.Errorf("reading the archive of a chart: %w", err)
	}
	return filepath.Base(made), content, nil
}

// Inspect says what a chart is: its name, its version, and its Chart.yaml as registries keep it.
func Inspect(list []File) (name, version string, config []byte, err error) {
	ch, err := load(list)
	if err != nil {
		return "", "", nil, err
	}
	config, err = json.Marshal(ch.Metadata)
	if err != nil {
		return "", "", nil, fmt.Errorf("describing the chart %s: %w", ch.Name(), err)
	}
	return ch.Name(), ch.Metadata.Version, config, nil
}

// Create makes the files of a new chart, as `helm create` does, named from the folder that the
// chart's own folder is in.
func Create(name string) ([]File, error) {
	dir, err := os.MkdirTemp("", "towpath-chart-")
	if err != nil {
		return nil, fmt.Errorf("making room for a chart: %w", err)
	}
	defer os.RemoveAll(dir)
	if _, err := chartutil.Create(name, dir); err != nil {
		return nil, fault.New(fault.Invalid, "%q is no name for a chart.", name).WithNext("use small letters, digits and dashes")
	}
	var out []File
	err = fs.WalkDir(os.DirFS(dir), ".", func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, at))
		out = append(out, File{Name: at, Data: data})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the chart that was made: %w", err)
	}
	return out, nil
}

// Unpack returns the files of the archive of a chart, named from the chart's folder.
func Unpack(data []byte) ([]File, error) {
	list, err := archive.LoadArchiveFiles(bytes.NewReader(data))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The archive of the chart cannot be read: %v.", err)
	}
	out := make([]File, len(list))
	for i, f := range list {
		out[i] = File{Name: f.Name, Data: f.Data}
	}
	return out, nil
}
